#include <fmt/format.h>

#include <cmath>

#include "eval/diagnosis/report_parts.h"
#include "output/csv.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

constexpr const char* kAllPrompts = "(all)";  // the group of all prompts in CSV

json::value number_json(double number) {
  return std::isfinite(number) ? json::value(number) : json::value(nullptr);
}

json::object moments_json(const Moments& moments) {
  return {{"mean", number_json(moments.mean)},
          {"standard_error", number_json(moments.standard_error)},
          {"n", moments.n}};
}

// Three lists with one value per layer.
json::object layers_json(const std::vector<Moments>& layers) {
  json::array mean, standard_error, n;
  for (const Moments& layer : layers) {
    mean.push_back(number_json(layer.mean));
    standard_error.push_back(number_json(layer.standard_error));
    n.emplace_back(layer.n);
  }
  return {{"mean", std::move(mean)}, {"standard_error", std::move(standard_error)}, {"n", std::move(n)}};
}

json::object heuristic_json(const HeuristicSummary& heuristic) {
  json::object result;
  result["horizontal"] = heuristic.horizontal;
  result["spearman"] = layers_json(heuristic.spearman);
  result["jaccard"] = layers_json(heuristic.jaccard);
  result["stability"] = layers_json(heuristic.stability);
  result["adaptive_exit"] = nullptr;
  if (heuristic.exit_layer.n > 0) {
    result["adaptive_exit"] =
        json::object{{"layer", moments_json(heuristic.exit_layer)},
                     {"spearman", moments_json(heuristic.spearman_at_exit)},
                     {"spearman_at_fixed_layer", moments_json(heuristic.spearman_at_fixed)},
                     {"gain", moments_json(heuristic.exit_gain)}};
  }
  result["made"] = moments_json(heuristic.made);
  result["made_of_mean_density"] = number_json(heuristic.made_of_mean);
  return result;
}

json::object group_json(const GroupSummary& group) {
  json::object heuristics;
  for (const HeuristicSummary& heuristic : group.heuristics) {
    heuristics[heuristic.name] = heuristic_json(heuristic);
  }
  return {{"name", group.name}, {"prompts", group.prompts}, {"heuristics", std::move(heuristics)}};
}

json::array groups_json(const std::vector<GroupSummary>& groups) {
  json::array result;
  for (const GroupSummary& group : groups) result.push_back(group_json(group));
  return result;
}

std::string number_csv(double number) {
  return std::isfinite(number) ? fmt::format("{:.9g}", number) : "";
}

void add_curves(std::string& csv, const std::string& group_name, const GroupSummary& group) {
  for (const HeuristicSummary& heuristic : group.heuristics) {
    const std::pair<const char*, const std::vector<Moments>*> metrics[] = {
        {"spearman", &heuristic.spearman},
        {"jaccard", &heuristic.jaccard},
        {"stability", &heuristic.stability}};
    for (const auto& [metric, layers] : metrics) {
      for (size_t layer = 0; layer < layers->size(); ++layer) {
        const Moments& moments = (*layers)[layer];
        csv += fmt::format("{},{},{},{},{},{},{}\n", csv_field(group_name), csv_field(heuristic.name), layer,
                           metric, number_csv(moments.mean),
                           moments.n > 0 ? number_csv(moments.standard_error) : "", moments.n);
      }
    }
  }
}

}  // namespace

json::object summary_json(const Summary& summary, const ReportInfo& info) {
  json::array configuration;
  for (const auto& [name, value] : info.configuration) {
    configuration.push_back(json::object{{"name", name}, {"value", value}});
  }
  json::array heuristics;
  for (const std::string& name : summary.heuristics) {
    heuristics.push_back(json::object{{"name", name}, {"label", heuristic_label(name)}});
  }
  json::array recall;
  for (const std::vector<double>& layer : summary.head_recall) {
    json::array row;
    for (double value : layer) row.push_back(number_json(value));
    recall.push_back(std::move(row));
  }
  json::object result;
  result["title"] = info.title;
  result["configuration"] = std::move(configuration);
  result["prompts"] = summary.overall.prompts;
  result["layers"] = summary.layers;
  result["heuristics"] = std::move(heuristics);
  result["overall"] = group_json(summary.overall);
  result["groups"] = groups_json(summary.groups);
  result["tasks"] = groups_json(summary.tasks);
  result["head_recall"] = std::move(recall);
  return result;
}

std::string curves_csv(const Summary& summary) {
  std::string csv = "group,heuristic,layer,metric,mean,standard_error,n\n";
  add_curves(csv, kAllPrompts, summary.overall);
  for (const GroupSummary& group : summary.groups) add_curves(csv, group.name, group);
  return csv;
}

std::string prompts_csv(const std::vector<PromptDiagnosis>& prompts, const Summary& summary) {
  std::string csv = "id,group,task,tokens,answer_tokens";
  for (const std::string& name : summary.heuristics) csv += "," + csv_field("spearman_" + name);
  csv += "\n";
  for (const PromptDiagnosis& prompt : prompts) {
    csv += fmt::format("{},{},{},{},{}", csv_field(prompt.id), csv_field(prompt.group),
                       csv_field(prompt.task), prompt.tokens, prompt.answer_tokens);
    for (const std::string& name : summary.heuristics) {
      csv += ",";
      for (const HeuristicCurve& curve : prompt.heuristics) {
        if (curve.name == name) csv += number_csv(mean_over_layers(curve.spearman));
      }
    }
    csv += "\n";
  }
  return csv;
}

}  // namespace claa::eval
