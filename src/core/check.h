// Checks. fail() raises a user-facing Error with a formatted message; require() guards an invariant of the
// library.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "claa/error.h"

namespace claa {

template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Throws Error{kInternal} naming the place when `condition` is false. For our own mistakes, never for user
// input. The builtins stand for std::source_location, which clang 14, the fuzzers' compiler, lacks with
// libstdc++.
inline void require(bool condition, const char* what, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE()) {
  if (!condition) throw Error(ErrorCode::kInternal, fmt::format("{} ({}:{})", what, file, line));
}

}  // namespace claa
