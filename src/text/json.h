// A reader of JSON files (RFC 8259). The library itself reads only profiles and folders of models, so that
// whoever embeds it needs no JSON library; eval and the command line, which also write, use Boost.JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace claa {

struct Json {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  std::string_view source;         // as it stands in the text, which must outlive this
  std::string text;                // of a string, decoded
  std::vector<Json> items;         // of an array, or the members of an object in the order of the file
  std::vector<std::string> names;  // of the members

  bool is(Kind wanted) const { return kind == wanted; }
  // The last member of that name; null without one.
  const Json* find(std::string_view name) const;
  // A number that is written without a fraction or an exponent, and fits.
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;
};

// Nothing unless `text` is one whole JSON value in valid UTF-8, at most 32 deep and of at most so many
// values: each takes about a hundred bytes, so that a text of many small ones would take fifty times its
// size. `stopped`, where it is given, is the byte at which the text was no such value any more.
inline constexpr size_t kMostJsonValues = size_t{1} << 23;
inline constexpr int kMostJsonDeep = 32;
std::optional<Json> parse_json(std::string_view text, size_t most_values = kMostJsonValues,
                               size_t* stopped = nullptr);

}  // namespace claa
