# claa_units(OUT NAME file...): sets OUT to what the compiler gets for the named sources of this folder. Most of a small
# file's compile time goes to the headers it includes, so that files are compiled eight at a time (CLAA_UNITY). The units
# include by paths relative to this folder, which makes their text, and so ccache's key, the same in every checkout.
function(claa_units out name)
  if(NOT CLAA_UNITY)
    set(${out} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  set(units "")
  set(text "")
  set(held 0)
  list(LENGTH ARGN left)
  foreach(source ${ARGN})
    file(RELATIVE_PATH relative ${CMAKE_CURRENT_SOURCE_DIR} ${source})
    string(APPEND text "#include \"${relative}\"\n")
    math(EXPR held "${held} + 1")
    math(EXPR left "${left} - 1")
    if(held EQUAL 8 OR left EQUAL 0)
      list(LENGTH units number)
      set(unit ${CMAKE_CURRENT_BINARY_DIR}/units/${name}_${number}.cc)
      file(CONFIGURE OUTPUT ${unit} CONTENT "${text}" @ONLY)
      list(APPEND units ${unit})
      set(text "")
      set(held 0)
    endif()
  endforeach()
  set(${out} ${units} PARENT_SCOPE)
endfunction()

# claa_builtin_methods(OUT PREFILL): sets OUT to a generated file and OUT_sources to the methods' files. Every file of
# PREFILL/methods registers itself by one function named after it; the generated file calls them all, so that a new method
# touches no other file. Names that start with _ are left out.
function(claa_builtin_methods out prefill)
  file(GLOB sources CONFIGURE_DEPENDS ${prefill}/methods/*.cc)
  list(FILTER sources EXCLUDE REGEX "/_[^/]*$")
  list(SORT sources)
  set(METHOD_DECLARATIONS "")
  set(METHOD_CALLS "")
  foreach(path ${sources})
    get_filename_component(method ${path} NAME_WE)
    string(APPEND METHOD_DECLARATIONS "void register_${method}(MethodRegistry& registry);\n")
    string(APPEND METHOD_CALLS "  register_${method}(registry);\n")
  endforeach()
  configure_file(${prefill}/builtin_methods.cc.in ${CMAKE_CURRENT_BINARY_DIR}/builtin_methods.cc @ONLY)
  set(${out} ${CMAKE_CURRENT_BINARY_DIR}/builtin_methods.cc PARENT_SCOPE)
  set(${out}_sources ${sources} PARENT_SCOPE)
endfunction()

# claa_included_headers(OUT FOLDER): sets OUT to the headers of the project that sources of FOLDER include, directly or
# through others, without those of FOLDER itself; sorted.
function(claa_included_headers out folder)
  file(GLOB pending CONFIGURE_DEPENDS ${folder}/*.cc ${folder}/*.h ${folder}/*.cu ${folder}/*.cuh)
  set(found "")
  while(pending)
    list(POP_FRONT pending file)
    file(STRINGS ${file} lines REGEX "^#include \"")
    foreach(line ${lines})
      string(REGEX REPLACE "^#include \"([^\"]*)\".*" "\\1" name "${line}")
      foreach(root ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
        set(header ${root}/${name})
        cmake_path(IS_PREFIX folder ${header} inside)
        if(EXISTS ${header} AND NOT inside AND NOT header IN_LIST found)
          list(APPEND found ${header})
          list(APPEND pending ${header})
        endif()
      endforeach()
    endforeach()
  endwhile()
  list(SORT found)
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# claa_optimize(TARGET OPTION): what a Release build, or a parent project that names no type of build, compiles it with.
function(claa_optimize target option)
  target_compile_options(${target} PRIVATE $<$<OR:$<CONFIG:Release>,$<STREQUAL:$<CONFIG>,>>:${option}>)
endfunction()

# claa_module(NAME [OPTIMIZE option] [DEPENDS module...] [LIBRARIES target...] [EXTRA file...] [ALONE file...])
# One module is one folder of src/: a static library claa_NAME of all its .cc files, of the files EXTRA, and of the files
# ALONE, which are generated or have options of their own and are each compiled alone. Its objects also go into the
# installed shared library.
function(claa_module name)
  cmake_parse_arguments(ARG "" "OPTIMIZE" "DEPENDS;LIBRARIES;EXTRA;ALONE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  list(APPEND sources ${ARG_EXTRA})
  if(ARG_ALONE)
    list(REMOVE_ITEM sources ${ARG_ALONE})
  endif()
  claa_units(units ${name} ${sources})
  add_library(claa_${name}_objects OBJECT ${units} ${ARG_ALONE})
  target_include_directories(claa_${name}_objects PUBLIC
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(claa_${name}_objects PUBLIC ${ARG_LIBRARIES} PRIVATE claa_flags)
  if(NOT ARG_OPTIMIZE)
    set(ARG_OPTIMIZE -O2)
  endif()
  claa_optimize(claa_${name}_objects ${ARG_OPTIMIZE})
  # The shared library exports what include/claa marks with CLAA_API.
  set_target_properties(claa_${name}_objects PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  add_library(claa_${name} STATIC)
  target_sources(claa_${name} PRIVATE $<TARGET_OBJECTS:claa_${name}_objects>)
  target_include_directories(claa_${name} PUBLIC
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(claa_${name} PUBLIC ${ARG_LIBRARIES} claa_flags)
  foreach(dep ${ARG_DEPENDS})
    target_link_libraries(claa_${name} PUBLIC claa_${dep})
  endforeach()
endfunction()
# claa_test_program(TARGET LINK module... SOURCES file...): what all tests share: where their files are, the headers of
# GoogleTest compiled once, and little optimisation, since a test's own code takes longer to compile than to run.
function(claa_test_program target)
  cmake_parse_arguments(ARG "" "" "LINK;SOURCES" ${ARGN})
  add_executable(${target} ${ARG_SOURCES})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  foreach(dep ${ARG_LINK})
    target_link_libraries(${target} PRIVATE claa_${dep})
  endforeach()
  target_link_libraries(${target} PRIVATE claa_test_support)
  # The compiler's own choice, as that of claa_test_support: a precompiled header serves one kind of code.
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  claa_optimize(${target} -O1)
  target_precompile_headers(${target} REUSE_FROM claa_test_support)
endfunction()

# claa_test(NAME [LINK module...] [LONG pattern...]): tests/NAME as a GoogleTest program, whose cases are single CTest tests.
# Cases that match a pattern get the label `long` in place of NAME: they take minutes each.
function(claa_test name)
  cmake_parse_arguments(ARG "" "" "LINK;LONG" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cc)
  list(FILTER sources EXCLUDE REGEX "/cuda_[^/]*$")  # see claa_gpu_test
  claa_test_program(test_${name} LINK ${ARG_LINK} SOURCES ${sources})
  target_link_libraries(test_${name} PRIVATE GTest::gtest_main)
  list(JOIN ARG_LONG ":" long)
  set(short "*")
  if(long)
    set(short "*-${long}")
    gtest_discover_tests(test_${name} DISCOVERY_TIMEOUT 60 TEST_FILTER "${long}" PROPERTIES LABELS long TIMEOUT 3600)
  endif()
  gtest_discover_tests(test_${name} DISCOVERY_TIMEOUT 60 TEST_FILTER "${short}" PROPERTIES LABELS ${name} TIMEOUT 600)
endfunction()

# claa_gpu_test(NAME FILES file... [LINK module...]): the named files of tests/NAME once more, on the CUDA backend; label
# gpu.
function(claa_gpu_test name)
  cmake_parse_arguments(ARG "" "" "FILES;LINK" ${ARGN})
  list(TRANSFORM ARG_FILES PREPEND ${name}/)
  claa_test_program(test_${name}_gpu LINK ${ARG_LINK} SOURCES ${ARG_FILES} gpu_main.cc)
  target_compile_definitions(test_${name}_gpu PRIVATE CLAA_TEST_CUDA)
  add_dependencies(test_${name}_gpu claa_cuda)
  gtest_discover_tests(test_${name}_gpu DISCOVERY_TIMEOUT 60 TEST_PREFIX gpu.
                       PROPERTIES LABELS gpu TIMEOUT 600 SKIP_RETURN_CODE 77)
endfunction()
