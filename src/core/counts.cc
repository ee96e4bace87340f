#include "core/counts.h"

namespace claa {

std::string group_decimal(std::string digits) {
  const size_t first = !digits.empty() && digits[0] == '-' ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

}  // namespace claa
