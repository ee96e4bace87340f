// Pictures: curves in panels with one legend below them, and heat maps, drawn by gnuplot. Text may hold
// anything: it is quoted and drawn as it is, and is no markup and no command to gnuplot.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/usize.h"

namespace claa::eval {

struct Series {
  std::string label;          // shown in the legend once, however many panels have it; empty: not shown
  std::vector<double> x, y;   // a y that is not finite is a gap
  std::vector<double> error;  // half height of a band around y; empty: none
  bool dashed = false;        // dashed, whatever its style says
  bool area = false;          // filled light grey from 0, behind the curves, instead of a line
  int style = -1;             // colour, dashes and mark; -1: by the position of its label in the figure
  // Ends of an error bar at each point, instead of a band; then every point has a mark. Empty: none.
  std::vector<std::pair<double, double>> bars = {};
};

struct Panel {
  std::string title, x_label, y_label;
  std::optional<std::pair<double, double>> y_range;  // none: from the data
  std::vector<Series> series;
};

// A grid of panels, row by row. Sizes are pixels of the SVG; the PNG has twice as many.
struct Figure {
  std::vector<Panel> panels;
  int columns = 3;
  int panel_width = 270;
  int panel_height = 185;
};

struct HeatMap {
  std::string title, x_label, y_label;
  std::vector<std::vector<double>>
      values;  // [rows][columns], row 0 at the bottom; values that are not finite are grey
  std::string scale_label;
  std::vector<std::string> x_ticks = {}, y_ticks = {};  // one per column and row; empty: their indices
  std::optional<std::pair<double, double>> range = {};  // range of the scale; none: from the data
};

inline constexpr size_t kMostPanels = 100;

// Number of characters of a title that fit over a panel and half the gaps beside it; the rest is cut.
inline size_t title_characters(int panel_width) {
  return static_cast<size_t>((panel_width + 36) / 8.3);
}

// Write STEM.gp (script and data; `gnuplot STEM.gp` draws the pictures again), STEM.svg and STEM.png in
// `folder`, which must exist. The stem has letters, digits, '-', '_' and '.' only. Throw
// Error{kInvalidArgument} for a figure that makes no sense, and what run_gnuplot throws.
void draw(const Figure& figure, const std::filesystem::path& folder, const std::string& stem);
void draw(const HeatMap& map, const std::filesystem::path& folder, const std::string& stem);

}  // namespace claa::eval
