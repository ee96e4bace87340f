#include "core/memory.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

namespace claa {

size_t available_memory() {
  std::ifstream info("/proc/meminfo");
  std::string name, unit;
  uint64_t kilobytes = 0, available = 0;
  while (info >> name >> kilobytes) {
    if (name == "MemAvailable:") available = kilobytes << 10;
    std::getline(info, unit);
  }
  std::ifstream group("/sys/fs/cgroup/memory.max");
  uint64_t limit = 0;  // the file says "max" where there is none, which is no number
  if (available > 0 && group >> limit && limit > 0) available = std::min(available, limit);
  return static_cast<size_t>(available);
}

}  // namespace claa
