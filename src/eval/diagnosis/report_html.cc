#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/counts.h"
#include "eval/diagnosis/report_parts.h"
#include "eval/draw/html.h"
#include "eval/draw/text.h"
#include "output/html.h"
#include "text/visible.h"

namespace claa::eval {
namespace {

std::string with_error(const Moments& moments, int digits = 3) {
  if (moments.n == 0) return "–";
  if (moments.n == 1) return number(moments.mean, digits);
  return number(moments.mean, digits) + " ± " + number(moments.standard_error, digits);
}

struct Extremes {
  double least = INFINITY, most = -INFINITY, swing = NAN;
  size_t least_layer = 0, most_layer = 0;
};

// `swing`: the largest change from one layer to the next.
Extremes extremes_of(const std::vector<double>& curve) {
  Extremes result;
  for (size_t layer = 0; layer < curve.size(); ++layer) {
    if (!std::isfinite(curve[layer])) continue;
    if (curve[layer] < result.least) result.least = curve[layer], result.least_layer = layer;
    if (curve[layer] > result.most) result.most = curve[layer], result.most_layer = layer;
    if (layer > 0 && std::isfinite(curve[layer - 1])) {
      const double change = std::fabs(curve[layer] - curve[layer - 1]);
      result.swing = std::isnan(result.swing) ? change : std::max(result.swing, change);
    }
  }
  return result;
}

std::string heuristics_table(const Summary& summary) {
  const std::string text = paragraph(
      "Spearman with the oracle: means over all prompts at each layer, then the mean, the worst and the best "
      "layer, and "
      "the largest change from one layer to the next. Jaccard is of the best 10 % with the oracle's; "
      "stability is the "
      "Spearman with the layer before. Both are means over the layers.");
  HtmlTable table({"heuristic", "#mean", "#min", "#worst layer", "#max", "#best layer", "#largest swing",
                   "#Jaccard", "#stability"});
  for (const HeuristicSummary& heuristic : summary.overall.heuristics) {
    const std::vector<double> curve = means(heuristic.spearman);
    const Extremes extremes = extremes_of(curve);
    const bool by_layer = !heuristic.horizontal && extremes.least <= extremes.most;
    table.add({heuristic_label(heuristic.name), number(mean_over_layers(curve)), number(extremes.least),
               by_layer ? fmt::format("{}", extremes.least_layer) : "–", number(extremes.most),
               by_layer ? fmt::format("{}", extremes.most_layer) : "–",
               by_layer ? number(extremes.swing) : "–", number(mean_over_layers(means(heuristic.jaccard))),
               heuristic.horizontal ? "–" : number(mean_over_layers(means(heuristic.stability)))});
  }
  return text + table.html();
}

const HeuristicSummary* find_heuristic(const GroupSummary& group, const std::string& name) {
  const auto found = std::find_if(group.heuristics.begin(), group.heuristics.end(),
                                  [&](const HeuristicSummary& heuristic) { return heuristic.name == name; });
  return found == group.heuristics.end() ? nullptr : &*found;
}

// One row per heuristic, one column for all prompts and one for each group.
template <typename Cell>
std::string group_table(const Summary& summary, Cell cell) {
  std::vector<const GroupSummary*> groups = {&summary.overall};
  for (const GroupSummary& group : summary.groups) groups.push_back(&group);
  std::vector<std::string> columns = {"heuristic"};
  for (const GroupSummary* group : groups)
    columns.push_back(fmt::format("#{} ({})", shown_name(group->name), group->prompts));
  HtmlTable table(columns);
  for (const std::string& name : summary.heuristics) {
    std::vector<std::string> row = {heuristic_label(name)};
    for (const GroupSummary* group : groups) {
      const HeuristicSummary* heuristic = find_heuristic(*group, name);
      row.push_back(heuristic == nullptr ? "–" : cell(*heuristic));
    }
    table.add(row);
  }
  return table.html();
}

std::string groups_html(const Summary& summary) {
  return paragraph(
             "Mean over the layers of the Spearman with the oracle; in parentheses the number of prompts.") +
         group_table(summary, [](const HeuristicSummary& heuristic) {
           return number(mean_over_layers(means(heuristic.spearman)));
         });
}

std::string made_html(const Summary& summary) {
  const bool any = std::any_of(summary.overall.heuristics.begin(), summary.overall.heuristics.end(),
                               [](const HeuristicSummary& heuristic) { return heuristic.made.n > 0; });
  if (!any) return "";
  return paragraph(
             "MADE: mean absolute difference between the density of the places of a heuristic's best 10 % "
             "and that of "
             "the oracle's; mean over the prompts ± standard error. 0 is the same places, 2 none in "
             "common.") +
         group_table(summary, [](const HeuristicSummary& heuristic) { return with_error(heuristic.made); });
}

std::vector<std::string> exit_columns() {
  return {"group", "heuristic", "#exit layer", "#Spearman there", "#at the fixed layer", "#gain", "#prompts"};
}

void add_exits(HtmlTable& table, const GroupSummary& group) {
  for (const HeuristicSummary& heuristic : group.heuristics) {
    if (heuristic.exit_layer.n == 0) continue;
    table.add({shown_name(group.name), heuristic_label(heuristic.name), with_error(heuristic.exit_layer, 1),
               with_error(heuristic.spearman_at_exit), with_error(heuristic.spearman_at_fixed),
               with_error(heuristic.exit_gain), fmt::format("{}", heuristic.exit_layer.n)});
  }
}

std::string exits_html(const std::vector<PromptDiagnosis>& prompts, const Summary& summary) {
  const bool any = std::any_of(summary.overall.heuristics.begin(), summary.overall.heuristics.end(),
                               [](const HeuristicSummary& heuristic) { return heuristic.exit_layer.n > 0; });
  if (!any) return "";
  const int fixed = prompts[0].fixed_layer;
  const bool same = std::all_of(prompts.begin(), prompts.end(),
                                [&](const PromptDiagnosis& prompt) { return prompt.fixed_layer == fixed; });
  std::string html = paragraph(
      fmt::format("The adaptive exit stops at the last layer of the first three layer-to-layer correlations "
                  "whose mean is at least "
                  ".99, else at the last layer. Spearman with the oracle there and at the fixed layer ({}); "
                  "the gain is the "
                  "first less the second, prompt by prompt. Mean ± standard error over the prompts.",
                  same ? fmt::format("{}", fixed) : "each prompt's own"));
  HtmlTable overall(exit_columns());
  add_exits(overall, summary.overall);
  html += overall.html();
  if (summary.groups.size() < 2) return html;
  HtmlTable groups(exit_columns());
  for (const GroupSummary& group : summary.groups) add_exits(groups, group);
  return html + details("By group", groups.html());
}

std::string figures_html(const std::vector<Picture>& pictures, const std::vector<std::string>& svgs) {
  if (pictures.empty()) return "";
  std::string html;
  for (size_t i = 0; i < pictures.size(); ++i) {
    html += fmt::format("<figure>\n{}\n<figcaption><b>Figure {}. {}.</b> {}</figcaption>\n</figure>\n",
                        inline_svg(svgs[i], fmt::format("f{}-", i + 1), pictures[i].heading), i + 1,
                        escape_html(pictures[i].heading), escape_html(pictures[i].caption));
  }
  return html;
}

std::string prompts_html(const std::vector<PromptDiagnosis>& prompts) {
  HtmlTable table({"id", "group", "task", "#tokens", "#answer tokens", "answer"});
  for (const PromptDiagnosis& prompt : prompts) {
    table.add({prompt.id, prompt.group, prompt.task, group_digits(prompt.tokens),
               group_digits(prompt.answer_tokens), shortened(visible_line(prompt.answer), 160)});
  }
  return details(plural(prompts.size(), "prompt") +
                     " and the model's own answers (their beginnings), which the oracle's ranking comes from",
                 table.html());
}

std::string configuration_html(const ReportInfo& info) {
  if (info.configuration.empty()) return "";
  HtmlTable table({"setting", "value"});
  for (const auto& [name, value] : info.configuration) table.add({name, value}, "c");
  return table.html();
}

}  // namespace

std::string report_html(const std::vector<PromptDiagnosis>& prompts, const Summary& summary,
                        const ReportInfo& info, const std::vector<Picture>& pictures,
                        const std::vector<std::string>& svgs) {
  const std::string title = info.title.empty() ? "Token rankings against the oracle" : info.title;
  const std::string intro = paragraph(fmt::format(
      "{} of {} in {}, {}, {}. Each heuristic ranks the prompt's tokens at every layer; the reference is the "
      "answer-informed oracle, which ranks them by the attention of the model's own answer. Every prompt "
      "weighs the same "
      "in every mean. All numbers are in summary.json, curves.csv and prompts.csv beside this file.",
      plural(prompts.size(), "prompt"), plural(summary.tasks.size(), "task"),
      plural(summary.groups.size(), "group"), plural(summary.layers, "layer"),
      plural(summary.heuristics.size(), "heuristic")));
  const std::vector<HtmlSection> sections = {
      {"numbers", "Numbers", heuristics_table(summary)},
      {"groups", "By task group", groups_html(summary)},
      {"exit", "Adaptive exit", exits_html(prompts, summary)},
      {"places", "Distance from the oracle's places", made_html(summary)},
      {"figures", "Figures", figures_html(pictures, svgs)},
      {"prompts", "Prompts", prompts_html(prompts)},
      {"configuration", "Configuration", configuration_html(info)}};
  return html_page(title, intro, sections);
}

}  // namespace claa::eval
