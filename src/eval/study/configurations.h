// The configurations of an evaluation: methods with their parameters, from options or from a sweep file.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <vector>

#include "claa/registry.h"

namespace claa::eval {

// One way to run prefill.
struct Configuration {
  std::string label;  // unique: "claa 0.2"
  std::string line;   // configurations of one line differ only in their rate: "claa"
  std::string method;
  std::string keep;  // the rate as it was written; empty without one
  ParamValues params;
  std::vector<std::pair<std::string, std::string>> effective;  // all parameters
  std::string profile = {};  // source of the chosen heads; empty: no profile
};

// The parameters of a method with those that a profile adds.
struct Profiled {
  ParamValues params;
  std::string profile;  // source of the profile; empty: none
};

struct ConfigurationOptions {
  std::vector<std::string> methods;
  std::vector<std::string> keeps;  // rates for configurations that have a rate and do not set it
  ParamValues set;                 // given to every method that has the parameter
  std::string sweep;               // a JSON file, or empty
  std::string profile = "auto";    // for configurations that name none themselves
  // Looks a profile up by wanted ("auto", "none" or a file), method and parameters. Empty: there are no
  // profiles.
  std::function<Profiled(const std::string&, const std::string&, const ParamValues&)> find_profile = {};
};

// Methods come first, then the sweep's configurations. A sweep file is an object with "configurations":
// objects with "method" and, optionally, "label", "params" (values), "profile" (a file, "auto" or "none") and
// "grid" (lists of values: one configuration for each combination, whose label is the given one and the
// combination). Throws Error naming file and field: unknown methods and parameters, repeated labels, a
// parameter of `set` that no method has.
std::vector<Configuration> make_configurations(const ConfigurationOptions& options);

boost::json::array to_json(const std::vector<Configuration>& configurations);

// The configuration that `configuration` is compared with for `baseline` (a method, a label or a line): the
// one of the same rate, or else one without a rate. Null when there is none, or when it is the same.
const Configuration* baseline_of(const std::vector<Configuration>& all, const Configuration& configuration,
                                 const std::string& baseline);

}  // namespace claa::eval
