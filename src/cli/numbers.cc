#include "cli/numbers.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace claa::cli {
namespace {

// CLI11 asks such a function to check a text: it answers with what is wrong, or rewrites the text and answers
// with nothing. Leading zeros are taken away, because CLI11 would read them as the sign of an octal number.
template <typename T>
std::string take_whole(std::string& text) {
  T value = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (last != end || error == std::errc::invalid_argument) {
    return fmt::format("must be a whole number in decimal, not '{}'", text);
  }
  if (error != std::errc()) {
    return fmt::format("'{}' is out of range; it is a whole number from {} to {}", text,
                       std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
  }
  text = std::to_string(value);
  return "";
}

std::string take_real(std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (last != end || error != std::errc() || !std::isfinite(value)) {
    return fmt::format("must be a number in decimal, not '{}'", text);
  }
  return "";
}

}  // namespace

void require_decimal_numbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options([](CLI::Option*) { return true; })) {
    // The type's name comes first, ranges after a colon.
    const std::string described = option->get_type_name();
    const std::string_view type = std::string_view(described).substr(0, described.find(':'));
    const auto first = [&](std::string (*take)(std::string&)) {
      option->transform(CLI::Validator(take, ""));  // before the checks of ranges
    };
    if (type == "INT") first(take_whole<int64_t>);
    if (type == "UINT") first(take_whole<uint64_t>);
    if (type == "FLOAT") first(take_real);
  }
  for (CLI::App* sub : app.get_subcommands([](CLI::App*) { return true; })) require_decimal_numbers(*sub);
}

}  // namespace claa::cli
