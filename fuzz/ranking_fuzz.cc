// Any bytes as a ranking file, as they are and with the right checksum after them: the file is refused by its
// name, or it holds one finite score for each token and fits the prompt that it names.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "claa/error.h"
#include "claa/ranking.h"
#include "core/fingerprint.h"
#include "memory_file.h"

namespace {

void expect(bool condition) {
  if (!condition) std::abort();
}

void read(MemoryFile& file, std::span<const uint8_t> bytes) {
  file.set(bytes);
  try {
    const claa::Ranking ranking = claa::read_ranking(file.path());
    expect(ranking.scores.size() == ranking.ids.size());
    for (const float score : ranking.scores) expect(std::isfinite(score));
    claa::PromptInfo prompt{.tokens = static_cast<int64_t>(ranking.ids.size()), .ids = ranking.ids};
    prompt.model_fingerprint = ranking.model_fingerprint;
    claa::check_ranking(ranking, prompt, file.path());
  } catch (const claa::Error& error) {
    expect(error.code() == claa::ErrorCode::kCorruptFile || error.code() == claa::ErrorCode::kIo);
    expect(std::string(error.what()).find(file.path()) != std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static MemoryFile file;
  std::vector<uint8_t> bytes(data, data + size);
  read(file, bytes);
  const uint64_t checksum = claa::fingerprint(std::as_bytes(std::span(bytes)));
  std::array<uint8_t, sizeof(checksum)> tail{};
  std::memcpy(tail.data(), &checksum, sizeof(checksum));
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  read(file, bytes);
  return 0;
}
