#include "template/jinja_strings.h"

#include <algorithm>

#include "template/jinja_access.h"
#include "template/jinja_print.h"

namespace claa::jinja {
namespace {

bool is_member(const Char& c, const Text* chars) {
  if (chars == nullptr) return is_space(c.code);
  return chars->view().find(c.bytes) != std::string_view::npos;
}

// The character that ends at `end`.
Char last_character(const Text& text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text.view()[begin]) & 0xc0) == 0x80)
    --begin;
  CodePoint point = decode_character(text.view(), begin);
  if (begin + point.size != end) {
    begin = end - 1;
    point = {-1, 1};
  }
  return {text.view().substr(begin, point.size), point.value, begin, false};
}

// Pieces of `text` between whitespace, from the left; each is [begin, end).
struct Piece {
  size_t begin;
  size_t end;
};

std::vector<Piece> split_spaces(Context& context, const Text& text, int64_t limit) {
  std::vector<Piece> pieces;
  CharReader reader(text);
  bool inside = false;
  for (Char c; reader.next(c);) {
    if (is_space(c.code)) {
      if (inside) pieces.back().end = c.offset;
      inside = false;
    } else if (!inside) {
      inside = true;
      context.reserve_list(1);
      pieces.push_back({c.offset, text.size()});
      // The rest stays one piece, including the whitespace at its end.
      if (limit >= 0 && pieces.size() > static_cast<uint64_t>(limit)) break;
    }
  }
  return pieces;
}

std::vector<Piece> split_at(Context& context, const Text& text, std::string_view separator, int64_t limit) {
  std::vector<Piece> pieces;
  size_t begin = 0;
  while (limit < 0 || pieces.size() < static_cast<uint64_t>(limit)) {
    const size_t found = find_bytes(context, text.view(), separator, begin);
    if (found == std::string_view::npos) break;
    context.reserve_list(1);
    pieces.push_back({begin, found});
    begin = found + separator.size();
  }
  pieces.push_back({begin, text.size()});
  return pieces;
}

std::vector<Value> to_values(Context& context, const Text& text, const std::vector<Piece>& pieces) {
  std::vector<Value> values;
  context.reserve_list(pieces.size());
  values.reserve(pieces.size());
  for (const Piece& piece : pieces) values.push_back(context.text(text.slice(piece.begin, piece.end)));
  return values;
}

void check_separator(const Context& context, const Text* separator) {
  if (separator != nullptr && separator->empty()) context.fail("an empty separator");
}

// Splitting from the right is splitting the reversed bytes from the left.
std::vector<Piece> split_reversed(Context& context, const Text& text, std::string_view separator,
                                  int64_t limit) {
  context.step_bytes(text.size());
  const Text reversed(std::string(text.view().rbegin(), text.view().rend()), kFromTemplate);
  const std::string needle(separator.rbegin(), separator.rend());
  std::vector<Piece> pieces = split_at(context, reversed, needle, limit);
  for (Piece& piece : pieces) piece = {text.size() - piece.end, text.size() - piece.begin};
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<Piece> split_spaces_reversed(Context& context, const Text& text, int64_t limit) {
  std::vector<Piece> pieces;
  for (size_t end = text.size(); end > 0;) {
    const Char c = last_character(text, end);
    if (is_space(c.code)) {
      end = c.offset;
      continue;
    }
    size_t begin = end;
    const bool rest = limit >= 0 && pieces.size() >= static_cast<uint64_t>(limit);
    while (begin > 0) {
      const Char d = last_character(text, begin);
      if (!rest && is_space(d.code)) break;
      begin = d.offset;
    }
    context.step_bytes(end - begin);
    context.reserve_list(1);
    pieces.push_back({begin, end});
    end = begin;
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

}  // namespace

Value strip(Context& context, const Text& text, const Text* chars, Side side) {
  // Membership is a search in `chars`, so the length of `chars` counts too.
  const uint64_t cost = chars == nullptr ? 1 : 1 + chars->size() / 8;
  size_t begin = 0;
  size_t end = text.size();
  while (side != Side::kRight && begin < end) {
    const CodePoint point = decode_character(text.view(), begin);
    if (!is_member({text.view().substr(begin, point.size), point.value, begin, false}, chars)) break;
    if (begin % Context::kBytesPerStep == 0 || cost > 1) context.step(cost);
    begin += point.size;
  }
  while (side != Side::kLeft && end > begin) {
    const Char c = last_character(text, end);
    if (!is_member(c, chars)) break;
    if (end % Context::kBytesPerStep == 0 || cost > 1) context.step(cost);
    end = c.offset;
  }
  return context.text(text.slice(begin, end));
}

Value replace(Context& context, const Text& text, const Text& old_text, const Text& new_text, int64_t count) {
  TextBuilder out(context);
  uint64_t left = count < 0 ? UINT64_MAX : static_cast<uint64_t>(count);
  if (old_text.empty()) {
    // Python inserts the new text before every character and at the end.
    CharReader reader(text);
    for (Char c; reader.next(c);) {
      if (left > 0) out.append(new_text);
      left -= left > 0 ? 1 : 0;
      out.append(c.bytes, c.origin);
    }
    if (left > 0) out.append(new_text);
    return out.finish();
  }
  size_t done = 0;
  for (; left > 0; --left) {
    const size_t found = find_bytes(context, text.view(), old_text.view(), done);
    if (found == std::string_view::npos) break;
    out.append(text, done, found);
    out.append(new_text);
    done = found + old_text.size();
  }
  out.append(text, done, text.size());
  return out.finish();
}

Value change_case(Context& context, const Text& text, Case mapping) {
  TextBuilder out(context);
  CharReader reader(text);
  std::string mapped;
  for (Char c; reader.next(c);) {
    mapped.clear();
    if (c.code >= 0) append_case(mapped, c.code, mapping);
    out.append(c.code >= 0 ? std::string_view(mapped) : c.bytes, c.origin);
  }
  return out.finish();
}

Value capitalize(Context& context, const Text& text) {
  TextBuilder out(context);
  CharReader reader(text);
  for (Char c; reader.next(c);) {
    std::string mapped;
    if (c.code >= 0) append_case(mapped, c.code, c.offset == 0 ? Case::kTitle : Case::kLower);
    out.append(c.code >= 0 ? std::string_view(mapped) : c.bytes, c.origin);
  }
  return out.finish();
}

Value title(Context& context, const Text& text, WordRule rule) {
  TextBuilder out(context);
  CharReader reader(text);
  bool word_starts = true;
  for (Char c; reader.next(c);) {
    std::string mapped;
    const Case mapping = !word_starts                 ? Case::kLower
                         : rule == WordRule::kLetters ? Case::kTitle
                                                      : Case::kUpper;
    if (c.code >= 0) append_case(mapped, c.code, mapping);
    out.append(c.code >= 0 ? std::string_view(mapped) : c.bytes, c.origin);
    const bool opens = c.code == '-' || c.code == '(' || c.code == '{' || c.code == '[' || c.code == '<';
    // To Python a letter without case, such as an ideograph, ends a word.
    const bool cased = is_upper(c.code) || is_lower(c.code);
    word_starts = rule == WordRule::kLetters ? !cased : opens || is_space(c.code);
  }
  return out.finish();
}

std::vector<Value> split(Context& context, const Text& text, const Text* separator, int64_t limit) {
  check_separator(context, separator);
  context.step_bytes(text.size());
  return to_values(context, text,
                   separator == nullptr ? split_spaces(context, text, limit)
                                        : split_at(context, text, separator->view(), limit));
}

std::vector<Value> split_from_right(Context& context, const Text& text, const Text* separator,
                                    int64_t limit) {
  check_separator(context, separator);
  context.step_bytes(text.size());
  return to_values(context, text,
                   separator == nullptr ? split_spaces_reversed(context, text, limit)
                                        : split_reversed(context, text, separator->view(), limit));
}

std::vector<Value> split_lines(Context& context, const Text& text, bool keep_ends) {
  context.step_bytes(text.size());
  std::vector<Piece> pieces;
  CharReader reader(text);
  size_t begin = 0;
  for (Char c; reader.next(c);) {
    if (!is_line_break(c.code)) continue;
    const bool pair = c.code == '\r' && text.view().substr(c.offset + 1, 1) == "\n";
    const size_t end = c.offset + c.bytes.size() + (pair ? 1 : 0);
    if (pair) reader.next(c);
    context.reserve_list(1);
    pieces.push_back({begin, keep_ends ? end : end - c.bytes.size() - (pair ? 1 : 0)});
    begin = end;
  }
  if (begin < text.size()) pieces.push_back({begin, text.size()});
  return to_values(context, text, pieces);
}

Value join(Context& context, const std::vector<Value>& items, const Text& separator) {
  TextBuilder out(context);
  for (size_t i = 0; i < items.size(); ++i) {
    context.step();
    if (i > 0) out.append(separator);
    write_str(out, items[i]);
  }
  return out.finish();
}

}  // namespace claa::jinja
