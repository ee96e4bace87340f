// claa methods: every method and its parameters, generated from their declarations.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "claa/registry.h"
#include "cli/common.h"
#include "cli/terminal.h"

namespace claa::cli {
namespace {

std::string range_text(const ParamSpec& spec) {
  if (spec.type == ParamType::kChoice) return fmt::format("{}", fmt::join(spec.choices, "|"));
  if (spec.type == ParamType::kText) return "text";
  if (spec.type == ParamType::kInteger) {
    return fmt::format("{}..{}", static_cast<int64_t>(spec.minimum), static_cast<int64_t>(spec.maximum));
  }
  return fmt::format("{:g}..{:g}", spec.minimum, spec.maximum);
}

void print_text(const MethodRegistry& registry) {
  std::string out;
  for (const MethodInfo& method : registry.all()) {
    out += fmt::format("{}  {} ({})\n", method.name, method.summary, method.paper);
    for (const ParamSpec& spec : method.params) {
      out += fmt::format("    {:<16} {:<10} {}\n", spec.name, spec.default_value, spec.help);
      out += fmt::format("    {:<16} {:<10} {}\n", "", "", range_text(spec));
    }
  }
  write_text(out);
}

void print_json(const MethodRegistry& registry) {
  boost::json::array methods;
  for (const MethodInfo& method : registry.all()) {
    boost::json::array params;
    for (const ParamSpec& spec : method.params) {
      params.push_back(boost::json::object{{"name", spec.name},
                                           {"default", spec.default_value},
                                           {"range", range_text(spec)},
                                           {"help", spec.help}});
    }
    methods.push_back(boost::json::object{{"name", method.name},
                                          {"summary", method.summary},
                                          {"paper", method.paper},
                                          {"params", std::move(params)}});
  }
  write_json(std::move(methods));
}

}  // namespace

void add_methods(CLI::App& app) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("methods", "the methods and their parameters");
  command->add_flag("--json", *as_json, "print JSON");
  command->callback([as_json] {
    const MethodRegistry registry = builtin_methods();
    *as_json ? print_json(registry) : print_text(registry);
  });
}

}  // namespace claa::cli
