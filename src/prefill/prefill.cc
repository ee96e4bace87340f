// Defaults of the extension point: entry, budgets, registry.
#include "claa/prefill.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"

namespace claa {

Entry Run::entry(Passes& /*passes*/) {
  return {};
}

int64_t Budget::of(int64_t tokens, int64_t window) const {
  const int64_t wanted =
      keep_tokens > 0 ? keep_tokens : static_cast<int64_t>(std::floor(static_cast<double>(tokens) * keep));
  return std::min(std::max(wanted, window), tokens);
}

std::vector<int32_t> best_indices(std::span<const float> scores, int64_t count) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  count = std::clamp<int64_t>(count, 0, static_cast<int64_t>(order.size()));
  std::nth_element(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  });
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

void MethodRegistry::add(MethodInfo info) {
  for (const MethodInfo& known : methods_) require(known.name != info.name, "two methods of one name");
  methods_.push_back(std::move(info));
}

const MethodInfo& MethodRegistry::find(std::string_view name) const {
  for (const MethodInfo& info : methods_) {
    if (info.name == name) return info;
  }
  std::vector<std::string_view> names;
  for (const MethodInfo& info : methods_) names.push_back(info.name);
  fail(ErrorCode::kInvalidArgument, "unknown method '{}'; there are {}", name, fmt::join(names, ", "));
}

std::unique_ptr<Method> MethodRegistry::create(std::string_view name, const ParamValues& values) const {
  return find(name).create(values);
}

}  // namespace claa
