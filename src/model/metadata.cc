#include "model/metadata.h"

#include <algorithm>

#include "core/check.h"
#include "core/usize.h"

namespace claa {

int64_t Metadata::required(std::string_view key, int64_t maximum) const {
  const auto value = value_of(key);
  if (!value) fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' is missing", file_.name(), full(key));
  return limited(key, *value, maximum);
}

int64_t Metadata::optional(std::string_view key, int64_t fallback, int64_t maximum) const {
  const auto value = value_of(key);
  return value ? limited(key, *value, maximum) : fallback;
}

std::vector<int64_t> Metadata::by_layer(std::string_view key, int64_t layers, int64_t maximum) const {
  const std::string name = full(key);
  if (!file_.array_of(name)) return std::vector<int64_t>(usize(layers), required(key, maximum));
  std::vector<int64_t> values = *file_.get_ints(name);
  if (values.size() != usize(layers)) {
    fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' has {} values for {} layers", file_.name(), name,
         values.size(), layers);
  }
  for (const int64_t value : values) limited(key, static_cast<uint64_t>(value), maximum);
  return values;
}

double Metadata::number(std::string_view key, double fallback) const {
  return file_.get_float(full(key)).value_or(fallback);
}

std::string Metadata::text(std::string_view key) const {
  return std::string(file_.get_string(full(key)).value_or(""));
}

bool Metadata::flag(std::string_view key, bool fallback) const {
  return file_.get_bool(full(key)).value_or(fallback);
}

std::optional<uint64_t> Metadata::value_of(std::string_view key) const {
  const std::string name = full(key);
  if (!file_.array_of(name)) return file_.get_uint(name);
  const std::vector<int64_t> values = *file_.get_ints(name);
  if (values.empty())
    fail(ErrorCode::kCorruptFile, "{}: metadata key '{}' is an empty list", file_.name(), name);
  if (largest_)
    return static_cast<uint64_t>(std::max<int64_t>(0, *std::max_element(values.begin(), values.end())));
  for (size_t layer = 1; layer < values.size(); ++layer) {
    if (values[layer] == values.front()) continue;
    fail(
        ErrorCode::kUnsupported,
        "{}: metadata key '{}' is {} in layer 0 and {} in layer {}; only models whose layers are alike in it "
        "can be run",
        file_.name(), name, values.front(), values[layer], layer);
  }
  return static_cast<uint64_t>(values.front());
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
