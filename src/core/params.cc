#include "claa/params.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/check.h"

namespace claa {
namespace {

// Parses the whole of `text`; std::from_chars uses no locale and accepts no leading blanks.
template <typename T>
bool parse_all(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

void ParamLister::integer(std::string_view name, int64_t& value, int64_t minimum, int64_t maximum,
                          std::string_view help) {
  specs.push_back({std::string(name),
                   ParamType::kInteger,
                   std::to_string(value),
                   static_cast<double>(minimum),
                   static_cast<double>(maximum),
                   {},
                   std::string(help)});
}

void ParamLister::number(std::string_view name, double& value, double minimum, double maximum,
                         std::string_view help) {
  specs.push_back({std::string(name),
                   ParamType::kNumber,
                   fmt::format("{}", value),
                   minimum,
                   maximum,
                   {},
                   std::string(help)});
}

void ParamLister::choice(std::string_view name, std::string& value, std::span<const std::string_view> choices,
                         std::string_view help) {
  specs.push_back({std::string(name), ParamType::kChoice, value, 0, 0,
                   std::vector<std::string>(choices.begin(), choices.end()), std::string(help)});
}

void ParamLister::text(std::string_view name, std::string& value, std::string_view help) {
  specs.push_back({std::string(name), ParamType::kText, value, 0, 0, {}, std::string(help)});
}

const std::string* ParamReader::find(std::string_view name) {
  known_.emplace_back(name);
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

void ParamReader::integer(std::string_view name, int64_t& value, int64_t minimum, int64_t maximum,
                          std::string_view /*help*/) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  int64_t parsed = 0;
  if (!parse_all(*text, parsed) || parsed < minimum || parsed > maximum) {
    fail(ErrorCode::kInvalidArgument, "{}: {} must be an integer from {} to {}, not '{}'", owner_, name,
         minimum, maximum, *text);
  }
  value = parsed;
}

void ParamReader::number(std::string_view name, double& value, double minimum, double maximum,
                         std::string_view /*help*/) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  double parsed = 0;
  if (!parse_all(*text, parsed) || !std::isfinite(parsed) || parsed < minimum || parsed > maximum) {
    fail(ErrorCode::kInvalidArgument, "{}: {} must be a number from {} to {}, not '{}'", owner_, name,
         minimum, maximum, *text);
  }
  value = parsed;
}

void ParamReader::choice(std::string_view name, std::string& value, std::span<const std::string_view> choices,
                         std::string_view /*help*/) {
  const std::string* text = find(name);
  if (text == nullptr) return;
  if (std::find(choices.begin(), choices.end(), *text) == choices.end()) {
    fail(ErrorCode::kInvalidArgument, "{}: {} must be one of {}, not '{}'", owner_, name,
         fmt::join(choices, ", "), *text);
  }
  value = *text;
}

void ParamReader::text(std::string_view name, std::string& value, std::string_view /*help*/) {
  if (const std::string* text = find(name)) value = *text;
}

void ParamReader::finish() const {
  for (const auto& [name, value] : values_) {
    if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
      fail(ErrorCode::kInvalidArgument, "{} has no parameter '{}'; it has: {}", owner_, name,
           known_.empty() ? std::string("none") : fmt::format("{}", fmt::join(known_, ", ")));
    }
  }
}

}  // namespace claa
