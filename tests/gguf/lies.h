// Tables of lies. Each changes one field of a valid file, and must be refused with the right code and with a
// message that names the file, the field and its offset.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "claa/error.h"
#include "gguf/file.h"
#include "raw_file.h"

namespace claa::gguf::test {

struct Lie {
  std::string name;
  std::function<void(RawFile&)> tell;
  std::string at;                  // the field whose offset the message must give
  std::vector<std::string> parts;  // what the message must say
  uint64_t plus = 0;               // offset inside that field
  ErrorCode code = ErrorCode::kCorruptFile;
};

inline void set_value(RawFile& file, uint32_t type, Bytes value) {
  file.pairs[1].type = type;
  file.pairs[1].value = std::move(value);
}

inline void set_alignment(RawFile& file, uint32_t type, Bytes value) {
  file.pairs[1] = {.key = "general.alignment", .type = type, .value = std::move(value)};
}

inline void expect_refused(const Lie& lie) {
  RawFile file;
  lie.tell(file);
  const auto bytes = file.build();
  ASSERT_TRUE(file.marks.contains(lie.at)) << lie.at;
  try {
    File::parse(bytes, "lie.gguf");
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.code(), lie.code) << message;
    EXPECT_THAT(message, testing::StartsWith("'lie.gguf': "));
    EXPECT_THAT(message,
                testing::HasSubstr(" at byte " + std::to_string(file.marks[lie.at] + lie.plus) + ": "));
    for (const std::string& part : lie.parts) EXPECT_THAT(message, testing::HasSubstr(part));
    for (const char c : message)
      EXPECT_TRUE(c >= 0x20 && c < 0x7f) << "a raw byte of the file in: " << message;
  }
}

inline std::string lie_name(const testing::TestParamInfo<Lie>& info) {
  return info.param.name;
}

}  // namespace claa::gguf::test
