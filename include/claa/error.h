// Error: the one exception type of the library. It carries a code for programs and a sentence for people:
// what failed, the value seen, what to do. The library never prints, exits or aborts.
#pragma once

#include <stdexcept>
#include <string>

#include "claa/export.h"

namespace claa {

enum class ErrorCode {
  kInvalidArgument,  // a parameter or a request is wrong
  kNotFound,         // a file, a tensor or a name does not exist
  kIo,               // the operating system refused a read or a map
  kCorruptFile,      // a model file breaks its own format
  kUnsupported,      // well-formed, but not something this build can run
  kContextExceeded,  // the prompt does not fit the model's context
  kTemplate,         // a chat template failed to parse or to render
  kCancelled,        // the caller asked to stop
  kOutOfMemory,      // the plan does not fit, with numbers
  kInternal,         // a broken invariant of the library itself: please report
};

// Stable lower-case name of a code, e.g. "context_exceeded"; used in JSON output.
CLAA_API const char* error_code_name(ErrorCode code);

class CLAA_API Error : public std::runtime_error {
 public:
  // Bytes of 0 in the message, which would end what(), are shown as "\0".
  Error(ErrorCode code, const std::string& message);
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace claa
