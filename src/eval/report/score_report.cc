#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <system_error>

#include "core/file_map.h"
#include "core/output_file.h"
#include "eval/draw/files.h"
#include "eval/draw/html.h"
#include "eval/draw/plot.h"
#include "eval/report/score_files.h"
#include "output/html.h"
#include "output/json.h"
#include "output/markdown.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

constexpr size_t kMostNeedleMaps = 24;

std::string configuration_text(const json::object& configuration) {
  std::string text = "## Configuration\n\n| setting | value |\n|---|---|\n";
  for (const auto& [name, value] : configuration) {
    text +=
        fmt::format("| {} | {} |\n", markdown_cell(std::string_view(name)), markdown_code(json_text(value)));
  }
  return text;
}

std::string summary_markdown(const ScoreSummary& summary, const json::object& configuration) {
  std::string text = "# Evaluation\n\n" + completeness(summary) + "\n\n";
  text += fmt::format(
      "Scores are means x 100 with 95 % intervals in brackets (bootstrap percentiles, {} resamples of the "
      "examples within each task). A group is the mean of its tasks' means.\n\n",
      kResamples);
  for (const TextTable& table : score_tables(summary)) text += markdown(table);
  return text + configuration_text(configuration);
}

// One line per method and one point per rate, as in Figure 4 of the paper.
Panel trade_panel(const ScoreSummary& summary, const ScoreRow& row, bool relative) {
  Panel panel{row.name,
              relative ? "time to first token, relative to full" : "time to first token, ms",
              "score",
              {},
              {}};
  std::vector<std::string> lines;
  for (const Configuration& configuration : summary.configurations) {
    if (std::find(lines.begin(), lines.end(), configuration.line) == lines.end())
      lines.push_back(configuration.line);
  }
  for (const std::string& line : lines) {
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < row.cells.size(); ++i) {
      const double x = relative ? row.cells[i].ttft_ratio : row.cells[i].ttft_ms;
      if (summary.configurations[i].line == line && std::isfinite(x)) order.emplace_back(x, i);
    }
    // Points are in the given order of rates, not of times: a line that turns back shows where more tokens
    // cost less.
    Series series;
    series.label = line;
    for (const auto& [x, i] : order) {
      const Estimate& score = row.cells[i].score;
      series.x.push_back(x);
      series.y.push_back(score.mean);
      series.bars.emplace_back(score.low, score.high);
    }
    panel.series.push_back(std::move(series));
  }
  return panel;
}

std::vector<Picture> draw_trade(const ScoreSummary& summary, const std::filesystem::path& folder) {
  bool relative = true;
  std::vector<const ScoreRow*> rows;
  size_t groups = 0;
  for (const ScoreRow& row : summary.rows) groups += row.level == Level::kGroup ? 1 : 0;
  for (const ScoreRow& row : summary.rows) {
    // A single group would show the same as overall.
    if (row.level == Level::kOverall || (row.level == Level::kGroup && (groups > 1 || rows.empty())))
      rows.push_back(&row);
  }
  if (rows.size() > kMostPanels) rows.resize(kMostPanels);
  for (const ScoreRow* row : rows) {
    for (const Cell& cell : row->cells) relative = relative && (cell.score.n == 0 || cell.ttft_ratios > 0);
  }
  Figure figure;
  figure.columns = std::min<int>(3, static_cast<int>(rows.size()));
  figure.panel_width = rows.size() == 1 ? 640 : 320;
  figure.panel_height = rows.size() == 1 ? 360 : 220;
  for (const ScoreRow* row : rows) figure.panels.push_back(trade_panel(summary, *row, relative));
  if (figure.panels.empty()) return {};
  draw(figure, folder, "score_ttft");
  return {
      {"score_ttft", "Score against time to first token",
       "One line per method, one point per rate; bars are 95 % intervals of the score. Times are medians of "
       "this run; relative ones are medians over the examples of the ratio to full."}};
}

std::vector<Picture> draw_needles(const ScoreSummary& summary, const std::filesystem::path& folder) {
  std::vector<Picture> pictures;
  for (const NeedleMap& needle : summary.needles) {
    if (pictures.size() == kMostNeedleMaps) break;
    HeatMap map{needle.configuration, "prompt length, tokens", "depth, %", needle.scores, "score"};
    for (const double length : needle.lengths) map.x_ticks.push_back(fmt::format("{:g}", length));
    for (const double depth : needle.depths) map.y_ticks.push_back(fmt::format("{:.3g}", depth));
    map.range = {0, 1};
    const std::string stem = fmt::format("needle_{:02}", pictures.size());
    draw(map, folder, stem);
    pictures.push_back(
        {stem, fmt::format("Needle by length and depth: {}", needle.configuration),
         "Mean score of the tasks that hide a needle at a depth of the prompt. Grey: no example."});
  }
  return pictures;
}

// Pictures of an earlier report beside this one's numbers would mislead.
void remove_pictures(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::vector<std::filesystem::path> old;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string stem = entry.path().stem().string(), ending = entry.path().extension().string();
    const bool ours = stem == "score_ttft" || stem.starts_with("needle_");
    if (ours && (ending == ".svg" || ending == ".png" || ending == ".gp")) old.push_back(entry.path());
  }
  for (const auto& path : old) std::filesystem::remove(path, ignored);
}

std::string html_of(const TextTable& text) {
  HtmlTable table(text.columns);
  for (const std::vector<std::string>& row : text.rows) table.add(row);
  return "<h3>" + escape_html(text.title) + "</h3>\n" + table.html();
}

std::string figures_of(const std::vector<Picture>& pictures, const std::filesystem::path& folder) {
  std::string html;
  for (size_t i = 0; i < pictures.size(); ++i) {
    const Picture& picture = pictures[i];
    html += fmt::format("<figure>\n{}\n<figcaption><b>Figure {}. {}.</b> {}</figcaption>\n</figure>\n",
                        inline_svg(read_file((folder / (picture.name + ".svg")).string()),
                                   fmt::format("f{}-", i + 1), picture.heading),
                        i + 1, escape_html(picture.heading), escape_html(picture.caption));
  }
  return html;
}

std::string problems_html(const ScoreSummary& summary) {
  if (summary.problems.empty()) return "";
  HtmlTable table({"example", "configuration", "status", "reason"});
  for (const Outcome& outcome : summary.problems)
    table.add({outcome.id, outcome.configuration, status_name(outcome.status), outcome.reason});
  return table.html();
}

std::string report_html(const ScoreSummary& summary, const json::object& configuration,
                        const std::string& figures) {
  std::string tables, settings;
  for (const TextTable& table : score_tables(summary)) tables += html_of(table);
  HtmlTable table({"setting", "value"});
  for (const auto& [name, value] : configuration)
    table.add({std::string(name), value.is_string() ? std::string(value.as_string()) : json_text(value)},
              "c");
  const std::string intro =
      paragraph(completeness(summary)) +
      paragraph(
          fmt::format("Scores are means x 100 with 95 % intervals in brackets (bootstrap percentiles, {} "
                      "resamples of the examples within each task).",
                      kResamples));
  const json::value* model = configuration.if_contains("model");
  const std::string name = model != nullptr && model->is_string() ? std::string(model->as_string()) : "";
  return html_page(fmt::format("Evaluation: {}", name), intro,
                   {{"scores", "Scores", tables},
                    {"figures", "Figures", figures},
                    {"times", "Times", html_of(timing_table(summary))},
                    {"problems", "Skipped and errors", problems_html(summary)},
                    {"configuration", "Configuration", table.html()}});
}

}  // namespace

void write_scores(const ScoreSummary& summary, const json::object& configuration, bool pictures,
                  const std::filesystem::path& folder) {
  make_folder(folder);
  const auto write = [&](const char* name, const std::string& content) {
    OutputFile((folder / name).string()).commit(content);
  };
  write("summary.json", json_text(summary_json(summary, configuration)) + "\n");
  write("summary.md", summary_markdown(summary, configuration));
  write("summary.csv", summary_csv(summary, configuration));
  write("timing.json", json_text(timing_json(summary, configuration)) + "\n");
  write("timing.md", markdown(timing_table(summary)) + configuration_text(configuration));
  write("timing.csv", timing_csv(summary, configuration));
  remove_pictures(folder);
  std::vector<Picture> drawn;
  if (pictures) {
    drawn = draw_trade(summary, folder);
    for (Picture& picture : draw_needles(summary, folder)) drawn.push_back(std::move(picture));
  }
  write("report.html", report_html(summary, configuration, figures_of(drawn, folder)));
}

}  // namespace claa::eval
