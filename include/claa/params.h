// Parameters, declared once. A struct lists its fields in one visit() function; the command line, JSON, help
// text and documentation all come from that list.
//
//   struct MyParams {
//     int64_t window = 8;
//     template <class V> void visit(V& v) { v.integer("window", window, 1, 4096, "last prompt queries that
//     observe"); }
//   };
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "claa/export.h"

namespace claa {

enum class ParamType { kInteger, kNumber, kChoice, kText };

// A parameter that a caller may set, and how it is explained.
struct ParamSpec {
  std::string name;
  ParamType type = ParamType::kInteger;
  std::string default_value;
  double minimum = 0;
  double maximum = 0;
  std::vector<std::string> choices;
  std::string help;
};

using ParamValues = std::map<std::string, std::string, std::less<>>;

// Collects the specification of a struct.
class CLAA_API ParamLister {
 public:
  void integer(std::string_view name, int64_t& value, int64_t minimum, int64_t maximum,
               std::string_view help);
  void number(std::string_view name, double& value, double minimum, double maximum, std::string_view help);
  void choice(std::string_view name, std::string& value, std::span<const std::string_view> choices,
              std::string_view help);
  void text(std::string_view name, std::string& value, std::string_view help);
  std::vector<ParamSpec> specs;
};

// Reads a struct from text values. Throws Error{kInvalidArgument}: name, value seen, what is allowed.
// finish() refuses names that no field took.
class CLAA_API ParamReader {
 public:
  ParamReader(std::string owner, const ParamValues& values) : owner_(std::move(owner)), values_(values) {}
  void integer(std::string_view name, int64_t& value, int64_t minimum, int64_t maximum,
               std::string_view help);
  void number(std::string_view name, double& value, double minimum, double maximum, std::string_view help);
  void choice(std::string_view name, std::string& value, std::span<const std::string_view> choices,
              std::string_view help);
  void text(std::string_view name, std::string& value, std::string_view help);
  void finish() const;

 private:
  const std::string* find(std::string_view name);
  std::string owner_;
  const ParamValues& values_;
  std::vector<std::string> known_;
};

template <class Params>
std::vector<ParamSpec> list_params() {
  Params params;
  ParamLister lister;
  params.visit(lister);
  return std::move(lister.specs);
}

template <class Params>
Params read_params(const std::string& owner, const ParamValues& values) {
  Params params;
  ParamReader reader(owner, values);
  params.visit(reader);
  reader.finish();
  return params;
}

// The effective values of a struct, as text, in declaration order.
template <class Params>
std::vector<std::pair<std::string, std::string>> show_params(Params params) {
  ParamLister lister;
  params.visit(lister);
  std::vector<std::pair<std::string, std::string>> shown;
  for (const ParamSpec& spec : lister.specs) shown.emplace_back(spec.name, spec.default_value);
  return shown;
}

}  // namespace claa
