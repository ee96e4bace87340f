// The methods that can be asked for by name.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "claa/export.h"
#include "claa/prefill.h"

namespace claa {

struct MethodInfo {
  std::string name;
  std::string summary;  // one line
  std::string paper;    // where it comes from
  std::vector<ParamSpec> params;
  std::function<std::unique_ptr<Method>(const ParamValues&)> create;
};

class CLAA_API MethodRegistry {
 public:
  // Throws Error{kInvalidArgument} when the name is taken.
  void add(MethodInfo info);
  std::span<const MethodInfo> all() const { return methods_; }
  // Throws Error{kInvalidArgument} offering the names there are.
  const MethodInfo& find(std::string_view name) const;
  std::unique_ptr<Method> create(std::string_view name, const ParamValues& values) const;

 private:
  std::vector<MethodInfo> methods_;
};

// Every method of src/prefill/methods, in alphabetical order.
CLAA_API MethodRegistry builtin_methods();

}  // namespace claa
