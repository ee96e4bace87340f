// Ranking: one score a prompt token, bound to the prompt and the model that it was made for. `claa oracle`
// writes them, the method `oracle` reads them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "claa/export.h"
#include "claa/prefill.h"

namespace claa {

struct Ranking {
  uint64_t model_fingerprint = 0;
  std::vector<int32_t> ids;   // the prompt
  std::vector<float> scores;  // one per token, finite; pooled
};

// File format, little endian: "CLAARANK", u32 version (1), u32 zero, u64 model fingerprint, u64 n, i32
// ids[n], f32 scores[n], u64 XXH3 of everything before. Throws Error{kIo}. The file appears whole or not at
// all.
CLAA_API void write_ranking(const std::string& path, const Ranking& ranking);
// Throws Error: kNotFound, kIo, kCorruptFile (truncated, checksum, a score that is no finite number).
CLAA_API Ranking read_ranking(const std::string& path);
// Throws Error{kInvalidArgument} when the ranking was made for another model or another prompt.
CLAA_API void check_ranking(const Ranking& ranking, const PromptInfo& prompt, const std::string& path);

}  // namespace claa
