#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eval/diagnosis/report_parts.h"
#include "eval/draw/plot.h"
#include "eval/draw/text.h"
#include "text/visible.h"

namespace claa::eval {
namespace {

using Layers = std::vector<Moments> HeuristicSummary::*;

constexpr size_t kDensityStep = 4;  // every fourth of the 1000 places of a density is drawn
constexpr const char* kBand = "Bands: ± one standard error over the n prompts.";

// The name is cut so that the number of prompts still fits.
std::string panel_title(const GroupSummary& group, const Figure& figure) {
  const std::string count = fmt::format(" (n = {})", group.prompts);
  const size_t room = title_characters(figure.panel_width);
  return shortened(visible_line(shown_name(group.name)),
                   room > count.size() + 4 ? room - count.size() - 1 : 4) +
         count;
}

// A heuristic looks the same in all pictures.
int style_of(const Summary& summary, const std::string& heuristic) {
  const auto found = std::find(summary.heuristics.begin(), summary.heuristics.end(), heuristic);
  return static_cast<int>(found - summary.heuristics.begin());
}

bool has_values(const GroupSummary& group, Layers layers, bool horizontal) {
  return std::any_of(group.heuristics.begin(), group.heuristics.end(),
                     [&](const HeuristicSummary& heuristic) {
                       const std::vector<Moments>& values = heuristic.*layers;
                       return (horizontal || !heuristic.horizontal) &&
                              std::any_of(values.begin(), values.end(),
                                          [](const Moments& moments) { return moments.n > 0; });
                     });
}

// `horizontal`: include the heuristics with one ranking for all layers.
Panel layer_panel(const Summary& summary, const GroupSummary& group, const Figure& figure, Layers layers,
                  const std::string& y_label, bool horizontal) {
  Panel panel{panel_title(group, figure), "layer", y_label, {}, {}};
  for (const HeuristicSummary& heuristic : group.heuristics) {
    if (heuristic.horizontal && !horizontal) continue;
    Series series;
    series.label = heuristic_label(heuristic.name);
    series.style = style_of(summary, heuristic.name);
    const std::vector<Moments>& values = heuristic.*layers;
    for (size_t layer = 0; layer < values.size(); ++layer) {
      series.x.push_back(static_cast<double>(layer));
      series.y.push_back(values[layer].mean);
      series.error.push_back(values[layer].standard_error);
    }
    panel.series.push_back(std::move(series));
  }
  return panel;
}

// One range for all panels, in tenths; it includes 0 if `zero` is set.
void share_range(Figure& figure, bool zero) {
  double low = zero ? 0 : INFINITY, high = zero ? 0 : -INFINITY;
  for (const Panel& panel : figure.panels) {
    for (const Series& series : panel.series) {
      for (size_t i = 0; i < series.y.size(); ++i) {
        if (!std::isfinite(series.y[i])) continue;
        low = std::min(low, series.y[i] - series.error[i]);
        high = std::max(high, series.y[i] + series.error[i]);
      }
    }
  }
  if (!(low <= high)) return;
  low = std::max(-1.0, std::floor(low * 10 + 1e-9) / 10);
  // Leaves room, so that a curve at 1 is not cut in half.
  high = high > .99 ? 1.02 : std::ceil(high * 10 - 1e-9) / 10;
  for (Panel& panel : figure.panels) panel.y_range = {low, high};
}

Figure grid(size_t panels, int most_columns, int width, int height) {
  Figure figure;
  // The widest grid with the fewest empty places.
  int fewest = most_columns;
  const int count = static_cast<int>(panels);
  figure.columns = 1;
  for (int columns = std::min(most_columns, count); columns > 1; --columns) {
    const int empty = (columns - count % columns) % columns;
    if (empty < fewest) fewest = empty, figure.columns = columns;
  }
  // One or two panels alone get more room, and the legend two columns.
  figure.panel_width = panels == 1 ? 720 : panels == 2 ? width * 7 / 5 : width;
  figure.panel_height = panels == 1 ? 400 : panels == 2 ? height * 7 / 5 : height;
  return figure;
}

Figure spearman_figure(const Summary& summary, const std::vector<GroupSummary>& groups, Figure figure) {
  for (const GroupSummary& group : groups) {
    if (figure.panels.size() == kMostPanels) break;
    figure.panels.push_back(
        layer_panel(summary, group, figure, &HeuristicSummary::spearman, "Spearman with oracle", true));
  }
  share_range(figure, true);
  return figure;
}

Figure single_figure(const Summary& summary, Layers layers, const std::string& y_label, bool horizontal,
                     bool zero) {
  Figure figure;
  figure.columns = 1;
  figure.panel_width = 720;
  figure.panel_height = 400;
  figure.panels.push_back(layer_panel(summary, summary.overall, figure, layers, y_label, horizontal));
  share_range(figure, zero);
  return figure;
}

Series density_series(const std::vector<double>& density, const std::vector<double>* base) {
  Series series;
  for (size_t i = 0; i < density.size(); i += kDensityStep) {
    series.x.push_back(static_cast<double>(i) / static_cast<double>(kDensityPoints - 1));
    series.y.push_back(base == nullptr ? density[i] : density[i] - (*base)[i]);
  }
  return series;
}

Panel density_panel(const Summary& summary, const GroupSummary& group, const Figure& figure) {
  Panel panel{panel_title(group, figure), "place (0: begin, 1: end)", "density less oracle's", {}, {}};
  Series oracle = density_series(group.oracle_density, nullptr);
  oracle.label = "the oracle's own density";
  oracle.area = true;
  panel.series.push_back(std::move(oracle));
  for (const HeuristicSummary& heuristic : group.heuristics) {
    if (heuristic.density.empty() || group.oracle_density.empty()) continue;
    Series series = density_series(heuristic.density, &group.oracle_density);
    series.label = heuristic_label(heuristic.name);
    series.style = style_of(summary, heuristic.name);
    panel.series.push_back(std::move(series));
  }
  return panel;
}

bool has_density(const GroupSummary& group) {
  return !group.oracle_density.empty() &&
         std::any_of(group.heuristics.begin(), group.heuristics.end(),
                     [](const HeuristicSummary& heuristic) { return !heuristic.density.empty(); });
}

Figure density_figure(const Summary& summary) {
  std::vector<const GroupSummary*> groups = {&summary.overall};
  // A single group would show the same as all prompts.
  for (const GroupSummary& group : summary.groups) {
    if (summary.groups.size() > 1 && has_density(group) && groups.size() < kMostPanels)
      groups.push_back(&group);
  }
  Figure figure = grid(groups.size(), 4, 225, 170);
  for (const GroupSummary* group : groups) figure.panels.push_back(density_panel(summary, *group, figure));
  return figure;
}

std::string left_out(size_t panels) {
  return panels <= kMostPanels ? "" : fmt::format(" {} more are left out here.", panels - kMostPanels);
}

void draw_spearman(const Summary& summary, const std::filesystem::path& folder,
                   std::vector<Picture>& pictures) {
  const size_t groups = summary.groups.size();
  const size_t tasks = summary.tasks.size();
  draw(single_figure(summary, &HeuristicSummary::spearman, "Spearman with oracle", true, true), folder,
       "spearman_all");
  pictures.push_back(
      {"spearman_all", "Agreement with the oracle, all prompts",
       fmt::format("Spearman rank correlation of each heuristic's token ranking with the answer-informed "
                   "oracle's, layer by layer, mean over all prompts. {}",
                   kBand)});
  draw(spearman_figure(summary, summary.groups, grid(groups, 3, 270, 185)), folder, "spearman_groups");
  pictures.push_back({"spearman_groups", "Agreement with the oracle by task group",
                      fmt::format("The same for each group of tasks. {}{}", kBand, left_out(groups))});
  draw(spearman_figure(summary, summary.tasks, grid(tasks, 4, 215, 160)), folder, "spearman_tasks");
  pictures.push_back({"spearman_tasks", "Agreement with the oracle by task",
                      fmt::format("The same for each task. {}{}", kBand, left_out(tasks))});
}

}  // namespace

std::vector<Picture> draw_pictures(const Summary& summary, const std::filesystem::path& folder) {
  std::vector<Picture> pictures;
  if (has_values(summary.overall, &HeuristicSummary::spearman, true))
    draw_spearman(summary, folder, pictures);
  if (has_values(summary.overall, &HeuristicSummary::jaccard, true)) {
    draw(single_figure(summary, &HeuristicSummary::jaccard, "Jaccard of the best 10 %", true, true), folder,
         "jaccard_all");
    pictures.push_back(
        {"jaccard_all", "Overlap of the best tokens",
         fmt::format("Jaccard index of each heuristic's best 10 % of the tokens with the oracle's, mean "
                     "over all prompts. {} A random choice of a tenth gives about 0.05.",
                     kBand)});
  }
  if (has_values(summary.overall, &HeuristicSummary::stability, false)) {
    draw(single_figure(summary, &HeuristicSummary::stability, "Spearman with the layer before", false, false),
         folder, "stability_all");
    pictures.push_back(
        {"stability_all", "Stability from layer to layer",
         fmt::format("Spearman rank correlation of a heuristic's ranking with its own ranking one layer "
                     "before, mean over all prompts. {}",
                     kBand)});
  }
  if (has_density(summary.overall)) {
    draw(density_figure(summary), folder, "density");
    pictures.push_back(
        {"density", "Where in the prompt the chosen tokens lie",
         "Density of the places of the best 10 % (Gaussian kernel, bandwidth 0.03, at the fixed layer): "
         "each heuristic's less the oracle's. Above 0 the heuristic takes more tokens there than the "
         "oracle. The oracle's own density is grey."});
  }
  if (!summary.head_recall.empty()) {
    draw(HeatMap{fmt::format("{} (n = {})", summary.overall.name, summary.overall.prompts), "query head",
                 "layer", summary.head_recall, "share of the oracle's best 5 %"},
         folder, "head_recall");
    pictures.push_back(
        {"head_recall", "What single heads find",
         "Share of the oracle's best 5 % of the tokens that lie among the best 20 % of a single head, "
         "mean over prompts. A random ranking gives 0.2."});
  }
  return pictures;
}

}  // namespace claa::eval
