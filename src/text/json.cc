#include "text/json.h"

#include <algorithm>
#include <charconv>

#include "core/usize.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace claa {
namespace {

// Recursive descent. Every function returns false at the first mistake.
class JsonParser {
 public:
  JsonParser(std::string_view text, size_t most_values) : text_(text), values_left_(most_values) {}

  bool document(Json& out) {
    if (!value(out, 0)) return false;
    skip_blanks();
    return at_ == text_.size();
  }
  size_t place() const { return at_; }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool take(char wanted) {
    skip_blanks();
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted) return false;
    at_ += wanted.size();
    return true;
  }
  size_t digits() {
    const size_t first = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ - first;
  }

  bool value(Json& out, int depth) {
    skip_blanks();
    if (at_ == text_.size() || depth == kMostJsonDeep || values_left_-- == 0) return false;
    const size_t first = at_;
    if (!any(out, depth)) return false;
    out.source = text_.substr(first, at_ - first);
    return true;
  }

  bool any(Json& out, int depth) {
    switch (text_[at_]) {
      case '{':
        return object(out, depth);
      case '[':
        return array(out, depth);
      case '"':
        out.kind = Json::Kind::kString;
        return string(out.text);
      case 't':
        out.kind = Json::Kind::kBool;
        return word("true");
      case 'f':
        out.kind = Json::Kind::kBool;
        return word("false");
      case 'n':
        return word("null");
      default:
        out.kind = Json::Kind::kNumber;
        return number();
    }
  }

  bool object(Json& out, int depth) {
    out.kind = Json::Kind::kObject;
    take('{');
    if (take('}')) return true;
    do {
      skip_blanks();
      if (!string(out.names.emplace_back()) || !take(':') || !value(out.items.emplace_back(), depth + 1))
        return false;
    } while (take(','));
    return take('}');
  }

  bool array(Json& out, int depth) {
    out.kind = Json::Kind::kArray;
    take('[');
    if (take(']')) return true;
    do {
      if (!value(out.items.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  bool number() {
    if (at_ < text_.size() && text_[at_] == '-') ++at_;
    const size_t first = at_;
    const size_t whole = digits();
    if (whole == 0 || (whole > 1 && text_[first] == '0')) return false;
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      if (digits() == 0) return false;
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (digits() == 0) return false;
    }
    return true;
  }

  bool string(std::string& out) {
    if (at_ == text_.size() || text_[at_] != '"') return false;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return false;
      }
    }
    return false;
  }

  // At a backslash; leaves the place at the last character of the escape.
  bool escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    if (++at_ == text_.size()) return false;
    if (const size_t index = kNames.find(text_[at_]); index != std::string_view::npos) {
      out += kMeant[index];
      return true;
    }
    if (text_[at_] != 'u') return false;
    int32_t code = 0;
    if (!hexadecimal(code)) return false;
    if (code >= 0xD800 && code < 0xDC00) {  // the first half of a pair
      int32_t low = 0;
      ++at_;
      if (!word("\\") || at_ == text_.size() || text_[at_] != 'u' || !hexadecimal(low)) return false;
      if (low < 0xDC00 || low > 0xDFFF) return false;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
      return false;
    }
    append_utf8(out, code);
    return true;
  }

  // At the 'u' of an escape; leaves the place at its last digit.
  bool hexadecimal(int32_t& code) {
    const std::string_view four = text_.substr(at_ + 1, 4);
    const auto [end, error] = std::from_chars(four.data(), four.data() + four.size(), code, 16);
    if (error != std::errc() || four.size() != 4 || end != four.data() + 4 || four[0] == '-') return false;
    at_ += 4;
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t values_left_;
};

template <class Number>
std::optional<Number> converted(const Json& json) {
  Number number{};
  if (!json.is(Json::Kind::kNumber)) return std::nullopt;
  const char* const end = json.source.data() + json.source.size();
  const auto [last, error] = std::from_chars(json.source.data(), end, number);
  if (error != std::errc() || last != end) return std::nullopt;
  return number;
}

}  // namespace

const Json* Json::find(std::string_view name) const {
  const auto last = std::find(names.rbegin(), names.rend(), name);
  return last == names.rend() ? nullptr : &items[usize(names.rend() - last) - 1];
}

std::optional<int64_t> Json::integer() const {
  return converted<int64_t>(*this);
}
std::optional<double> Json::number() const {
  return converted<double>(*this);
}

std::optional<Json> parse_json(std::string_view text, size_t most_values, size_t* stopped) {
  const size_t valid = valid_utf8_prefix(text);
  Json json;
  JsonParser parser(text, most_values);
  if (valid == text.size() && parser.document(json)) return json;
  if (stopped != nullptr) *stopped = valid < text.size() ? valid : parser.place();
  return std::nullopt;
}

}  // namespace claa
