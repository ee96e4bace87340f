#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/usize.h"
#include "eval/draw/plot_script.h"

namespace claa::eval {
namespace {

// Sizes are in pixels of the SVG.
constexpr double kMapLeft = 70;
constexpr double kMapRight = 118;  // the colour scale, its tick labels and its label
constexpr double kMapTop = 36;
constexpr double kMapBottom = 56;

// Lightness rises steadily from dark to light, so that the order survives in grey (after cividis, for all
// kinds of sight).
constexpr const char* kPalette =
    "set palette defined (0 '#00224E', .2 '#35456C', .4 '#666970', .6 '#948E77', .8 '#C8B866', 1 "
    "'#FEE838')\n";

std::pair<double, double> range_of(const std::vector<std::vector<double>>& values) {
  double low = INFINITY, high = -INFINITY;
  for (const std::vector<double>& row : values) {
    for (double value : row) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (!(low <= high)) return {0, 1};
  return low < high ? std::pair(low, high) : std::pair(low - .5, high + .5);
}

std::string data_block(const std::vector<std::vector<double>>& values) {
  std::string data = "$map << EOD\n";
  for (size_t row = 0; row < values.size(); ++row) {
    for (size_t column = 0; column < values[row].size(); ++column) {
      const double value = values[row][column];
      if (std::isfinite(value)) data += fmt::format("{} {} {:.7g}\n", column, row, value);
    }
  }
  // gnuplot refuses an empty block; a cell outside the picture is not visible.
  return data + "-9 -9 0\nEOD\n";
}

// Shows every index while there is room for it, then every second, fifth, tenth, ...
int tick_step(size_t count, double pixels, double room) {
  const double least = room * static_cast<double>(count) / pixels;
  int step = 1;
  for (int i = 0; step < least; ++i) step = i % 3 == 1 ? step / 2 * 5 : step * 2;
  return step;
}

// Shows every `step`-th label if there are labels; a number alone lets gnuplot write the indices.
std::string ticks(const std::vector<std::string>& labels, int step) {
  if (labels.empty()) return std::to_string(step);
  std::string text = "(";
  for (size_t i = 0; i < labels.size(); i += usize(step))
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_string(labels[i], 8), i);
  return text + ")";
}

}  // namespace

std::string heat_map_script(const HeatMap& map, const std::string& stem) {
  const size_t rows = map.values.size();
  const size_t columns = map.values[0].size();
  const double width = std::clamp(38.0 * static_cast<double>(columns), 260.0, 1100.0);
  const double height = std::clamp(16.0 * static_cast<double>(rows), 180.0, 900.0);
  const double full_width = width + kMapLeft + kMapRight;
  const double full_height = height + kMapTop + kMapBottom;
  const auto [low, high] = map.range.value_or(range_of(map.values));
  std::string script =
      "# Draws " + stem + ".svg and " + stem + ".png; the data stands in this file.\nset encoding utf8\n";
  script += data_block(map.values) + kPalette;
  script += margins_command(kMapLeft / full_width, (kMapLeft + width) / full_width, kMapBottom / full_height,
                            (kMapBottom + height) / full_height);
  script += fmt::format("set xrange [-.5:{}.5]\nset yrange [-.5:{}.5]\nset cbrange [{:.7g}:{:.7g}]\n",
                        columns - 1, rows - 1, low, high);
  script += fmt::format("set xtics {}\nset ytics {}\nset tics nomirror out scale .4 font ',10'\n",
                        ticks(map.x_ticks, tick_step(columns, width, map.x_ticks.empty() ? 30 : 44)),
                        ticks(map.y_ticks, tick_step(rows, height, 15)));
  script += "set key off\nset format '%h'\nset border lc rgb '#444444'\n";
  script +=
      "set object 1 rectangle from graph 0, 0 to graph 1, 1 fc rgb '#BBBBBB' fs solid noborder behind\n";
  script += fmt::format("set colorbox user origin {:.5f}, {:.5f} size {:.5f}, {:.5f}\n",
                        (kMapLeft + width + 16) / full_width, kMapBottom / full_height, 16 / full_width,
                        height / full_height);
  for (const bool png : {false, true}) {
    const int scale = png ? 2 : 1;
    script += fmt::format(
        "set terminal {} noenhanced size {}, {} {} background rgb 'white'\n", png ? "pngcairo" : "svg",
        std::lround(full_width) * scale, std::lround(full_height) * scale,
        png ? "fontscale 2 linewidth 2 font 'sans-serif,11'" : "dynamic fontscale 1.25 font 'sans-serif,11'");
    script += fmt::format("set output '{}.{}'\n", stem, png ? "png" : "svg");
    // Set for every terminal: the labels use its default markup.
    script += fmt::format("set title {} font ',12' offset 0, -.4 noenhanced\n", gnuplot_string(map.title));
    script += fmt::format("set xlabel {} font ',11' noenhanced\n", gnuplot_string(map.x_label));
    script += fmt::format("set ylabel {} font ',11' noenhanced\n", gnuplot_string(map.y_label));
    script +=
        fmt::format("set cblabel {} font ',11' offset 1, 0 noenhanced\n", gnuplot_string(map.scale_label));
    // Rectangles rather than an image: a bitmap in the SVG would be blurred, and gnuplot guesses the grid of
    // an image wrongly when cells are missing.
    script +=
        "plot $map using 1:2:(.5):(.5):3 with boxxyerror fc palette fs solid noborder notitle\nset output\n";
  }
  return script;
}

}  // namespace claa::eval
