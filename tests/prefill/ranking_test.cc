// The ranking file: everything written is read again, and no damage goes unnoticed.
#include "claa/ranking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include "core/fingerprint.h"

namespace claa {
namespace {

class RankingFile : public testing::Test {
 protected:
  RankingFile() {
    write_ranking(path_, ranking_);
    std::ifstream file(path_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::string refusal(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    try {
      read_ranking(path_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
      return error.what();
    }
    return "accepted";
  }
  // The bytes with a new checksum, as a careful forger writes them.
  static std::string sealed(std::string bytes) {
    const size_t end = bytes.size() - sizeof(uint64_t);
    const uint64_t sum = fingerprint(std::as_bytes(std::span(bytes)).first(end));
    std::memcpy(bytes.data() + end, &sum, sizeof(sum));
    return bytes;
  }

  // Cases run side by side in separate processes.
  std::string path_ =
      testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name() + ".rank";
  Ranking ranking_{0x1234, {5, 6, 7}, {0.5f, 0.0f, 1e-30f}};
  std::string bytes_;
};

TEST_F(RankingFile, RoundTrip) {
  const Ranking read = read_ranking(path_);
  EXPECT_EQ(read.model_fingerprint, ranking_.model_fingerprint);
  EXPECT_EQ(read.ids, ranking_.ids);
  EXPECT_EQ(read.scores, ranking_.scores);
  EXPECT_EQ(bytes_.size(), 32u + 3 * 8 + 8);
}

TEST_F(RankingFile, EveryTruncationIsSeen) {
  for (size_t size = 0; size < bytes_.size(); ++size)
    EXPECT_NE(refusal(bytes_.substr(0, size)), "accepted") << size;
  EXPECT_NE(refusal(bytes_ + "x"), "accepted");
}

TEST_F(RankingFile, EveryFlippedByteIsSeen) {
  for (size_t i = 0; i < bytes_.size(); ++i) {
    std::string damaged = bytes_;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    EXPECT_NE(refusal(damaged), "accepted") << "byte " << i;
  }
}

TEST_F(RankingFile, SaysWhatIsWrong) {
  using testing::HasSubstr;
  std::string bytes = bytes_;
  bytes[0] = 'G';
  EXPECT_THAT(refusal(bytes), HasSubstr("CLAARANK"));
  bytes = bytes_;
  bytes[8] = 2;
  EXPECT_THAT(refusal(sealed(bytes)), HasSubstr("version is 2"));
  bytes = bytes_;
  std::memset(bytes.data() + 24, 0x7f, 8);
  EXPECT_THAT(refusal(sealed(bytes)), HasSubstr("announces 9187201950435737471 tokens"));
  bytes = bytes_.substr(0, 24) + std::string(8, '\0') + bytes_.substr(bytes_.size() - 8);
  EXPECT_THAT(refusal(sealed(bytes)), HasSubstr("holds no tokens"));
  bytes = bytes_;
  bytes[bytes.size() - 1] = static_cast<char>(bytes[bytes.size() - 1] ^ 1);
  EXPECT_THAT(refusal(bytes), HasSubstr("checksum"));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    bytes = bytes_;
    std::memcpy(bytes.data() + 32 + 3 * 4 + 4, &bad, sizeof(bad));
    EXPECT_THAT(refusal(sealed(bytes)), HasSubstr("score of token 1 is not a finite number"));
  }
  EXPECT_THAT(refusal(""), HasSubstr("claa oracle"));
}

TEST_F(RankingFile, MissingFileAndFolder) {
  EXPECT_THROW(read_ranking(path_ + ".none"), Error);
  EXPECT_THROW(read_ranking(testing::TempDir()), Error);
  EXPECT_THROW(write_ranking(testing::TempDir() + "no/such/folder", ranking_), Error);
}

}  // namespace
}  // namespace claa
