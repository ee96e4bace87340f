// What is compared in an evaluation: methods with their parameters, from options or from a sweep file.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <vector>

#include "claa/prefill.h"

namespace claa::eval {

// One way to prefill.
struct Configuration {
  std::string label;  // unique: "claa 0.2"
  std::string line;   // configurations of one line differ in their rate alone: "claa"
  std::string method;
  std::string keep;  // the rate as it was written; empty without one
  ParamValues params;
  std::vector<std::pair<std::string, std::string>> effective;  // all parameters
  std::string profile = {};  // where chosen heads came from; empty: no profile
};

// What a profile makes of a method's parameters.
struct Profiled {
  ParamValues params;
  std::string profile;  // where it came from; empty: none
};

struct ConfigurationOptions {
  std::vector<std::string> methods;
  std::vector<std::string> keeps;  // rates, for what has a rate and does not set one itself
  ParamValues set;                 // given to every method that has the parameter
  std::string sweep;               // a JSON file, or empty
  std::string profile = "auto";    // of configurations that name none themselves
  // Looks a profile up: wanted ("auto", "none" or a file), method, parameters. Empty: there are none.
  std::function<Profiled(const std::string&, const std::string&, const ParamValues&)> find_profile = {};
};

// Methods first, then the sweep's. A sweep file is an object with "configurations": objects with "method"
// and, where wanted, "label", "params" (values), "profile" (a file, "auto" or "none") and "grid" (lists of
// values: one configuration for each combination, whose label is the given one and the combination). Throws
// Error naming file and field: unknown methods and parameters, labels twice, a parameter of `set` that no
// method has.
std::vector<Configuration> make_configurations(const ConfigurationOptions& options);

boost::json::array to_json(const std::vector<Configuration>& configurations);

// The configuration that `configuration` is compared with when `baseline` (a method, a label or a line) is:
// that of the same rate, else one without a rate. Null when there is none, or when it is the same.
const Configuration* baseline_of(const std::vector<Configuration>& all, const Configuration& configuration,
                                 const std::string& baseline);

}  // namespace claa::eval
