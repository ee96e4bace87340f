# One interface target carries the warnings and the instrumentation of every target of the project.
add_library(claa_flags INTERFACE)
# Sizes of tensors are signed and those of containers are not: core/usize.h is where they meet. For clang -Wconversion would
# ask for a cast at every other place, too, such as the arithmetic of iterators.
target_compile_options(claa_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion)
if(CLAA_DEVELOPER)
  target_compile_options(claa_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(claa_flags INTERFACE -Wno-restrict)  # false alarms on std::string (GCC bug 105651)
endif()
if(CLAA_SANITIZE)
  target_compile_options(claa_flags INTERFACE -fsanitize=${CLAA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(claa_flags INTERFACE -fsanitize=${CLAA_SANITIZE})
endif()
if(CLAA_COVERAGE)
  target_compile_options(claa_flags INTERFACE --coverage -O1 -fprofile-update=atomic)
  target_link_options(claa_flags INTERFACE --coverage)
endif()
