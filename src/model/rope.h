// Rotary position tables with the scaling variants of the Llama family.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "backend/backend.h"
#include "model/config.h"

namespace claa {

// Angular frequency of every pair, [rotated / 2], after scaling; yarn as in arXiv 2309.00071.
std::vector<double> rope_frequencies(const RopeConfig& rope);
// Factor on cos and sin (yarn's attention temperature); 1 otherwise.
double rope_magnitude(const RopeConfig& rope);

// Tables for positions [0, positions), owning their memory.
struct RopeTables {
  Buffer memory;
  RopeTable table;
  int64_t positions = 0;
};
RopeTables make_rope_tables(const RopeConfig& rope, int64_t positions, Backend& backend);

// The longest table that was asked for. Tables are shared, so that making a longer one disturbs nobody.
class RopeCache {
 public:
  std::shared_ptr<const RopeTables> tables(const RopeConfig& rope, int64_t positions, Backend& backend);

 private:
  std::mutex mutex_;
  std::shared_ptr<const RopeTables> longest_;
};

}  // namespace claa
