// Rotary position tables with the scaling variants that models use.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "core/usize.h"
#include "model/config.h"

namespace claa {

// Angular frequency of every pair, [rotated / 2], after scaling, for a prompt of `tokens`; yarn as in arXiv
// 2309.00071, long as in arXiv 2402.13753.
std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t tokens = 0);
// Factor on cos and sin (the attention temperature of yarn and long); 1 otherwise.
double rope_magnitude(const RopeConfig& rope);
// The factor on top of it at a position (RopeConfig::temperature_scale).
double rope_temperature(const RopeConfig& rope, int64_t position);
// True where a prompt of so many tokens turns by RopeConfig::long_factors.
bool turns_long(const RopeConfig& rope, int64_t tokens);

// One table of each kind of rotation for positions [0, positions) of a prompt of `tokens`, owning their
// memory.
struct RopeTables {
  std::vector<Buffer> memory;
  std::vector<RopeTable> tables;  // as ModelConfig::ropes
  int64_t positions = 0;
  const RopeTable& operator[](int rope) const { return tables[usize(rope)]; }
};
RopeTables make_rope_tables(std::span<const RopeConfig> ropes, int64_t positions, int64_t tokens,
                            Backend& backend);

// The longest tables that were asked for, of short and of long prompts. Tables are shared, so that making
// longer ones disturbs nobody.
class RopeCache {
 public:
  std::shared_ptr<const RopeTables> tables(std::span<const RopeConfig> ropes, int64_t positions,
                                           int64_t tokens, Backend& backend);

 private:
  std::mutex mutex_;
  std::array<std::shared_ptr<const RopeTables>, 2> longest_;  // by whether any turns long
};

}  // namespace claa
