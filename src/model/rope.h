// Rotary position tables with the scaling variants that models use.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "core/usize.h"
#include "model/config.h"

namespace claa {

// Angular frequency of every pair, [rotated / 2], after scaling; yarn as in arXiv 2309.00071.
std::vector<double> rope_frequencies(const RopeConfig& rope);
// Factor on cos and sin (yarn's attention temperature); 1 otherwise.
double rope_magnitude(const RopeConfig& rope);

// One table of each kind of rotation for positions [0, positions), owning their memory.
struct RopeTables {
  std::vector<Buffer> memory;
  std::vector<RopeTable> tables;  // as ModelConfig::ropes
  int64_t positions = 0;
  const RopeTable& operator[](int rope) const { return tables[usize(rope)]; }
};
RopeTables make_rope_tables(std::span<const RopeConfig> ropes, int64_t positions, Backend& backend);

// The longest table that was asked for. Tables are shared, so that making a longer one disturbs nobody.
class RopeCache {
 public:
  std::shared_ptr<const RopeTables> tables(std::span<const RopeConfig> ropes, int64_t positions,
                                           Backend& backend);

 private:
  std::mutex mutex_;
  std::shared_ptr<const RopeTables> longest_;
};

}  // namespace claa
