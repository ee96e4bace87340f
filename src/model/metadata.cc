#include "model/metadata.h"

#include "core/check.h"

namespace claa {

int64_t Metadata::required(std::string_view key, int64_t maximum) const {
  const auto value = file_.get_uint(full(key));
  if (!value) fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' is missing", file_.name(), full(key));
  return limited(key, *value, maximum);
}

int64_t Metadata::optional(std::string_view key, int64_t fallback, int64_t maximum) const {
  const auto value = file_.get_uint(full(key));
  return value ? limited(key, *value, maximum) : fallback;
}

double Metadata::number(std::string_view key, double fallback) const {
  return file_.get_float(full(key)).value_or(fallback);
}

std::string Metadata::text(std::string_view key) const {
  return std::string(file_.get_string(full(key)).value_or(""));
}

std::string Metadata::full(std::string_view key) const {
  return fmt::format("{}.{}", prefix_, key);
}

int64_t Metadata::limited(std::string_view key, uint64_t value, int64_t maximum) const {
  if (value < 1 || value > static_cast<uint64_t>(maximum)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' is {}, outside 1..{}", file_.name(), full(key),
         value, maximum);
  }
  return static_cast<int64_t>(value);
}

}  // namespace claa
