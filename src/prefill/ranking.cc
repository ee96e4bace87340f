#include "claa/ranking.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/counts.h"
#include "core/file_map.h"
#include "core/fingerprint.h"
#include "core/output_file.h"

static_assert(std::endian::native == std::endian::little, "the file format is little endian");

namespace claa {
namespace {

constexpr char kMagic[8] = {'C', 'L', 'A', 'A', 'R', 'A', 'N', 'K'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeader = sizeof(kMagic) + 2 * sizeof(uint32_t) + 2 * sizeof(uint64_t);

template <class T>
void append(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

template <class T>
T load(std::span<const std::byte> from, size_t offset) {
  T value;
  std::memcpy(&value, from.data() + offset, sizeof(T));
  return value;
}

}  // namespace

void write_ranking(const std::string& path, const Ranking& ranking) {
  require(ranking.ids.size() == ranking.scores.size(), "a ranking has one score a token");
  std::string bytes(kMagic, sizeof(kMagic));
  append(bytes, kVersion);
  append(bytes, uint32_t{0});
  append(bytes, ranking.model_fingerprint);
  append(bytes, uint64_t{ranking.ids.size()});
  bytes.append(reinterpret_cast<const char*>(ranking.ids.data()), ranking.ids.size() * sizeof(int32_t));
  bytes.append(reinterpret_cast<const char*>(ranking.scores.data()), ranking.scores.size() * sizeof(float));
  append(bytes, fingerprint(std::as_bytes(std::span(bytes))));
  OutputFile(path).commit(bytes);
}

Ranking read_ranking(const std::string& path) {
  const FileMap map(path);
  const std::span<const std::byte> bytes = map.bytes();
  const auto corrupt = [&](const std::string& what) {
    fail(ErrorCode::kCorruptFile, "'{}' is not a usable ranking file: {}; make it again with `claa oracle`",
         path, what);
  };
  if (bytes.size() < kHeader + sizeof(uint64_t)) corrupt(fmt::format("it has only {} bytes", bytes.size()));
  if (std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) corrupt("it does not begin with CLAARANK");
  const auto version = load<uint32_t>(bytes, 8);
  if (version != kVersion)
    corrupt(fmt::format("its version is {}, this program reads {}", version, kVersion));
  Ranking ranking;
  ranking.model_fingerprint = load<uint64_t>(bytes, 16);
  const auto count = load<uint64_t>(bytes, 24);
  const size_t payload = bytes.size() - kHeader - sizeof(uint64_t);
  constexpr size_t kEntry = sizeof(int32_t) + sizeof(float);
  if (payload % kEntry != 0 || payload / kEntry != count) {
    corrupt(fmt::format("it announces {} tokens but holds {} bytes", count, bytes.size()));
  }
  if (count == 0) corrupt("it holds no tokens");
  const size_t end = bytes.size() - sizeof(uint64_t);
  if (fingerprint(bytes.first(end)) != load<uint64_t>(bytes, end)) {
    corrupt("its checksum is wrong");
  }
  ranking.ids.resize(count);
  ranking.scores.resize(count);
  std::memcpy(ranking.ids.data(), bytes.data() + kHeader, count * sizeof(int32_t));
  std::memcpy(ranking.scores.data(), bytes.data() + kHeader + count * sizeof(int32_t), count * sizeof(float));
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(ranking.scores[i]))
      corrupt(fmt::format("the score of token {} is not a finite number", i));
  }
  return ranking;
}

void check_ranking(const Ranking& ranking, const PromptInfo& prompt, const std::string& path) {
  if (ranking.model_fingerprint != prompt.model_fingerprint) {
    fail(ErrorCode::kInvalidArgument,
         "the ranking '{}' was made with another model (fingerprint {:016x}, this one has {:016x}); make it "
         "again with `claa oracle`",
         path, ranking.model_fingerprint, prompt.model_fingerprint);
  }
  const auto differ =
      std::mismatch(ranking.ids.begin(), ranking.ids.end(), prompt.ids.begin(), prompt.ids.end());
  if (ranking.ids.size() != prompt.ids.size()) {
    fail(ErrorCode::kInvalidArgument,
         "the ranking '{}' was made for another prompt: it has {} tokens, this one {}; make it again with "
         "`claa oracle`",
         path, group_digits(ranking.ids.size()), group_digits(prompt.ids.size()));
  }
  if (differ.first != ranking.ids.end()) {
    fail(ErrorCode::kInvalidArgument,
         "the ranking '{}' was made for another prompt: they differ at token {}; make it again with `claa "
         "oracle`",
         path, differ.first - ranking.ids.begin());
  }
}

}  // namespace claa
