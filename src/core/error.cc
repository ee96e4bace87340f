#include "claa/error.h"

namespace claa {
namespace {

std::string without_zeros(std::string message) {
  for (size_t at = message.find('\0'); at != std::string::npos; at = message.find('\0', at))
    message.replace(at, 1, "\\0");
  return message;
}

}  // namespace

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(without_zeros(message)), code_(code) {}

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kCorruptFile:
      return "corrupt_file";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kContextExceeded:
      return "context_length_exceeded";
    case ErrorCode::kTemplate:
      return "template";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "unknown";
}

}  // namespace claa
