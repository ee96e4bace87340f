#include "claa/registry.h"

#include <fmt/ranges.h>

#include "core/check.h"

namespace claa {

void MethodRegistry::add(MethodInfo info) {
  for (const MethodInfo& known : methods_) {
    if (known.name == info.name) {
      fail(ErrorCode::kInvalidArgument, "there is a method '{}' already; register yours by another name",
           info.name);
    }
  }
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
