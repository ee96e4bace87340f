#include "text/document.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/check.h"
#include "core/counts.h"
#include "core/file_map.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace claa {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

struct Format {
  std::string_view start;
  std::string_view name;
  std::string_view advice;
};

constexpr std::string_view kExtract = "extract its text first";
constexpr std::string_view kUnpack = "unpack it first";

// What people give by mistake, by the bytes that such files begin with.
constexpr std::array kFormats = {
    Format{"%PDF-", "a PDF document", "extract its text first, for example with pdftotext"},
    Format{"\x1F\x8B", "a gzip archive", kUnpack},
    Format{"PK\x03\x04", "a ZIP archive or an office document", kExtract},
    Format{"PK\x05\x06", "an empty ZIP archive", kUnpack},
    Format{"\xD0\xCF\x11\xE0", "an office document", kExtract},
    Format{"BZh", "a bzip2 archive", kUnpack},
    Format{"\xFD"
           "7zXZ"sv,
           "an xz archive", kUnpack},
    Format{"\x28\xB5\x2F\xFD", "a zstd archive", kUnpack},
    Format{"7z\xBC\xAF", "a 7z archive", kUnpack},
    Format{"Rar!\x1A\x07", "a RAR archive", kUnpack},
    Format{"\x89PNG", "a PNG picture", kExtract},
    Format{"\xFF\xD8\xFF", "a JPEG picture", kExtract},
    Format{"GIF8", "a GIF picture", kExtract},
    Format{"RIFF", "a picture, a sound or a film (RIFF)", kExtract},
    Format{"II*\0"sv, "a TIFF picture", kExtract},
    Format{"MM\0*"sv, "a TIFF picture", kExtract},
    Format{"GGUF", "a GGUF model", "give a text, and the model with -m"},
    Format{"\x7F"
           "ELF"sv,
           "a program", "give a text"},
    Format{"SQLite format 3\0"sv, "an SQLite database", kExtract},
};

// How far the bytes are from being UTF-8 text.
struct Census {
  size_t characters = 0, ill_formed = 0, nul = 0, control = 0;
  size_t first_ill_formed = 0;  // byte
};

Census count_units(std::string_view bytes) {
  Census census;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Unit unit = next_utf8_unit(bytes.substr(at));
    ++census.characters;
    if (unit.kind != Utf8Unit::Kind::kCharacter) {
      if (census.ill_formed++ == 0) census.first_ill_formed = at;
    } else if (bytes[at] == '\0') {
      ++census.nul;
    } else if (static_cast<uint8_t>(bytes[at]) < 0x20 &&
               "\t\n\v\f\r\b\x1B"sv.find(bytes[at]) == std::string::npos) {
      ++census.control;
    }
    at += unit.size;
  }
  return census;
}

void refuse_other_formats(std::string_view bytes, const Census& census, const std::string& name) {
  for (const Format& format : kFormats) {
    if (!bytes.starts_with(format.start)) continue;
    // A text may begin with "GIF8"; a PDF may be written in ASCII throughout.
    const bool binary = census.ill_formed + census.nul + census.control > 0;
    if (!binary && format.start != kFormats.front().start) continue;
    fail(ErrorCode::kInvalidArgument, "'{}' is {}, not text; {}", name, format.name, format.advice);
  }
}

// A text in an older encoding has some bytes that are not UTF-8; what has this many of them is no text.
void refuse_binary(const Census& census, const std::string& name) {
  if (census.nul * 4 > census.characters) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' is not UTF-8 text: {} of its {} bytes are NUL; if it is UTF-16 without a byte order mark, "
         "convert "
         "it, for example with iconv -f UTF-16LE -t UTF-8",
         name, group_digits(census.nul), group_digits(census.characters));
  }
  const size_t odd = census.ill_formed + census.nul + census.control;
  if (odd * 10 > census.characters * 3) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' is not UTF-8 text: {} of its {} characters are none; extract its text, or convert it, for "
         "example with iconv",
         name, group_digits(odd), group_digits(census.characters));
  }
}

// Reads code units of `width` bytes (2: UTF-16, 4: UTF-32); a surrogate without its partner, a number that is
// no character and a cut-off unit become U+FFFD.
std::string to_utf8(std::string_view bytes, size_t width, bool little_endian) {
  std::string out;
  const auto unit_at = [&](size_t at) {
    uint32_t unit = 0;
    for (size_t i = 0; i < width; ++i) {
      const size_t byte = little_endian ? width - 1 - i : i;
      unit = unit << 8 | static_cast<uint8_t>(bytes[at + byte]);
    }
    return unit;
  };
  size_t at = 0;
  for (; at + width <= bytes.size(); at += width) {
    uint32_t code = unit_at(at);
    if (width == 2 && code >= 0xD800 && code < 0xDC00 && at + 4 <= bytes.size()) {
      const uint32_t low = unit_at(at + 2);
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        at += 2;
      }
    }
    const bool character = code < 0xD800 || (code >= 0xE000 && code <= 0x10FFFF);
    append_utf8(out, character ? static_cast<int32_t>(code) : 0xFFFD);
  }
  if (at < bytes.size()) out += kReplacementCharacter;
  return out;
}

struct Encoding {
  std::string_view mark;
  std::string_view name;
  size_t width;
  bool little_endian;
};

// The mark of UTF-32 begins with that of UTF-16, so that it is asked for first.
constexpr std::array kEncodings = {
    Encoding{"\xFF\xFE\0\0"sv, "UTF-32", 4, true},
    Encoding{"\0\0\xFE\xFF"sv, "UTF-32", 4, false},
    Encoding{"\xFF\xFE", "UTF-16", 2, true},
    Encoding{"\xFE\xFF", "UTF-16", 2, false},
};

}  // namespace

std::string_view without_byte_order_mark(std::string_view text) {
  return text.starts_with(kUtf8Mark) ? text.substr(kUtf8Mark.size()) : text;
}

DocumentText decode_document(std::string bytes, const std::string& name) {
  DocumentText document;
  for (const Encoding& encoding : kEncodings) {
    if (!bytes.starts_with(encoding.mark)) continue;
    const std::string_view units = std::string_view(bytes).substr(encoding.mark.size());
    document.text = to_utf8(units, encoding.width, encoding.little_endian);
    refuse_binary(count_units(document.text), name);
    document.note = fmt::format("'{}' is {} text; it was converted to UTF-8", name, encoding.name);
    return document;
  }
  const Census census = count_units(bytes);
  refuse_other_formats(bytes, census, name);
  refuse_binary(census, name);
  if (census.ill_formed > 0) {
    document.note = fmt::format(
        "'{}' is not UTF-8 text throughout: {} places, the first at byte {}, are read as U+FFFD; convert it, "
        "for "
        "example with iconv",
        name, group_digits(census.ill_formed), census.first_ill_formed);
    document.ill_formed = census.ill_formed;
  }
  if (bytes.starts_with(kUtf8Mark)) bytes.erase(0, kUtf8Mark.size());
  document.text = std::move(bytes);
  return document;
}

std::string read_document(const std::string& path) {
  DocumentText document = decode_document(read_file(path), path);
  if (document.ill_formed > 0) throw Error(ErrorCode::kInvalidArgument, document.note);
  return std::move(document.text);
}

}  // namespace claa
