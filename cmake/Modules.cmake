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

# claa_optimize(TARGET OPTION): what a Release build compiles it with; the last of several such options counts.
function(claa_optimize target option)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:${option}>)
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
  add_library(claa_${name} STATIC)
  target_sources(claa_${name} PRIVATE $<TARGET_OBJECTS:claa_${name}_objects>)
  target_include_directories(claa_${name} PUBLIC
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(claa_${name} PUBLIC ${ARG_LIBRARIES} claa_flags)
  foreach(dep ${ARG_DEPENDS})
    target_link_libraries(claa_${name} PUBLIC claa_${dep})
  endforeach()
endfunction()
# claa_test(NAME SOURCES... [LINK module...]): a GoogleTest program; its cases are single CTest tests.
function(claa_test name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cc)
  list(FILTER sources EXCLUDE REGEX "/cuda_[^/]*$")  # see claa_gpu_test
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_include_directories(test_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_definitions(test_${name} PRIVATE CLAA_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data"
                                                  CLAA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  foreach(dep ${ARG_LINK})
    target_link_libraries(test_${name} PRIVATE claa_${dep})
  endforeach()
  target_link_libraries(test_${name} PRIVATE GTest::gtest_main GTest::gmock claa_flags)
  gtest_discover_tests(test_${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS ${name} TIMEOUT 600)
endfunction()

# claa_gpu_test(NAME FILES file... [LINK module...]): the named files of tests/NAME once more, on the CUDA backend; label
# gpu.
function(claa_gpu_test name)
  cmake_parse_arguments(ARG "" "" "FILES;LINK" ${ARGN})
  list(TRANSFORM ARG_FILES PREPEND ${name}/)
  add_executable(test_${name}_gpu ${ARG_FILES} gpu_main.cc)
  target_include_directories(test_${name}_gpu PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_definitions(test_${name}_gpu PRIVATE CLAA_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data" CLAA_TEST_CUDA
                                                      CLAA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  foreach(dep ${ARG_LINK})
    target_link_libraries(test_${name}_gpu PRIVATE claa_${dep})
  endforeach()
  target_link_libraries(test_${name}_gpu PRIVATE GTest::gtest GTest::gmock claa_flags)
  add_dependencies(test_${name}_gpu claa_cuda)
  gtest_discover_tests(test_${name}_gpu DISCOVERY_TIMEOUT 60 TEST_PREFIX gpu.
                       PROPERTIES LABELS gpu TIMEOUT 600 SKIP_RETURN_CODE 77)
endfunction()
