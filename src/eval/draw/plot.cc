#include "eval/draw/plot.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include "core/check.h"
#include "core/file_map.h"
#include "core/output_file.h"
#include "eval/draw/files.h"
#include "eval/draw/gnuplot.h"
#include "eval/draw/plot_script.h"

namespace claa::eval {
namespace {

void check_stem(const std::string& stem) {
  const bool plain = std::all_of(stem.begin(), stem.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  if (stem.empty() || stem[0] == '.' || stem[0] == '-' || !plain) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' cannot be the name of a picture: use letters, digits, '-', '_' and '.', beginning with a "
         "letter or digit",
         stem);
  }
}

void check_figure(const Figure& figure) {
  if (figure.panels.empty() || figure.panels.size() > kMostPanels) {
    fail(ErrorCode::kInvalidArgument, "a picture has 1 to {} panels, not {}", kMostPanels,
         figure.panels.size());
  }
  if (figure.columns < 1 || figure.panel_width < 120 || figure.panel_height < 80 ||
      figure.panel_width > 2000 || figure.panel_height > 2000) {
    fail(ErrorCode::kInvalidArgument,
         "panels need at least one column and a size from 120 x 80 to 2000 x 2000, not {} columns of {} x {}",
         figure.columns, figure.panel_width, figure.panel_height);
  }
  for (const Panel& panel : figure.panels) {
    for (const Series& series : panel.series) {
      if (series.x.size() != series.y.size() ||
          (!series.error.empty() && series.error.size() != series.y.size()) ||
          (!series.bars.empty() && series.bars.size() != series.y.size())) {
        fail(ErrorCode::kInvalidArgument,
             "the series '{}' of panel '{}' has {} x, {} y, {} error values and {} error bars: they must be "
             "as many",
             series.label, panel.title, series.x.size(), series.y.size(), series.error.size(),
             series.bars.size());
      }
    }
  }
}

void check_map(const HeatMap& map) {
  const size_t columns = map.values.empty() ? 0 : map.values[0].size();
  if (columns == 0) fail(ErrorCode::kInvalidArgument, "the heat map '{}' has no values", map.title);
  for (const std::vector<double>& row : map.values) {
    if (row.size() != columns) {
      fail(ErrorCode::kInvalidArgument, "the heat map '{}' has rows of {} and of {} values", map.title,
           columns, row.size());
    }
  }
  if ((!map.x_ticks.empty() && map.x_ticks.size() != columns) ||
      (!map.y_ticks.empty() && map.y_ticks.size() != map.values.size())) {
    fail(ErrorCode::kInvalidArgument, "the heat map '{}' has {} x {} values and tick labels for {} x {}",
         map.title, columns, map.values.size(), map.x_ticks.size(), map.y_ticks.size());
  }
}

// gnuplot titles the picture "Gnuplot" and every curve "gnuplot_plot_1a", and a browser would show that as a
// tooltip. A text of the picture cannot look like this element: its '<' is an entity.
std::string without_titles(const std::string& svg) {
  constexpr std::string_view kBegin = "<title>";
  constexpr std::string_view kEnd = "</title>";
  std::string result;
  size_t at = 0;
  for (size_t begin; (begin = svg.find(kBegin, at)) != std::string::npos;) {
    const size_t end = svg.find(kEnd, begin);
    if (end == std::string::npos) break;
    result.append(svg, at, begin - at);
    at = end + kEnd.size();
  }
  return result.append(svg, at);
}

// gnuplot runs in a separate folder, so that the script holds no path and `folder` no half-written picture.
void render(const std::string& script, const std::filesystem::path& folder, const std::string& stem) {
  const TemporaryFolder scratch(folder);
  const std::string script_name = stem + ".gp";
  OutputFile(scratch.path() / script_name).commit(script);
  run_gnuplot(scratch.path(), script_name);
  const std::string svg = stem + ".svg";
  const std::string png = stem + ".png";
  for (const std::string& picture : {svg, png}) {
    std::error_code error;
    const auto size = std::filesystem::file_size(scratch.path() / picture, error);
    if (error || size == 0)
      fail(ErrorCode::kInternal, "gnuplot drew {} but wrote no {}", script_name, picture);
  }
  OutputFile(scratch.path() / svg).commit(without_titles(read_file(scratch.path() / svg)));
  for (const std::string& name : {script_name, svg, png}) rename_file(scratch.path() / name, folder / name);
}

}  // namespace

void draw(const Figure& figure, const std::filesystem::path& folder, const std::string& stem) {
  check_stem(stem);
  check_figure(figure);
  render(figure_script(figure, stem), folder, stem);
}

void draw(const HeatMap& map, const std::filesystem::path& folder, const std::string& stem) {
  check_stem(stem);
  check_map(map);
  render(heat_map_script(map, stem), folder, stem);
}

}  // namespace claa::eval
