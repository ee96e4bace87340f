#include "eval/draw/plot_script.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "core/usize.h"
#include "eval/draw/text.h"
#include "text/visible.h"

namespace claa::eval {
namespace {

// Colours after Okabe and Ito, with lightness spread so that neighbours also differ in grey; dashes and marks
// differ too.
struct Style {
  const char* colour;
  const char* dashes;
  int mark;  // gnuplot's point types
};
constexpr Style kStyles[] = {
    {"#000000", "solid", 7},         {"#D55E00", "(12,4)", 5}, {"#0072B2", "solid", 9},
    {"#56B4E9", "(7,3)", 11},        {"#007A5A", "(3,3)", 13}, {"#E69F00", "(12,3,3,3)", 4},
    {"#CC79A7", "(9,3,2,3,2,3)", 6}, {"#7A7A7A", "(5,5)", 8},  {"#5D3A9B", "(2,4)", 10},
    {"#8A5A00", "(16,4)", 12},
};
constexpr int kStyleCount = static_cast<int>(std::size(kStyles));

// After the last colour they repeat with other dashes and marks.
Style style_at(int index) {
  const Style& first = kStyles[index % kStyleCount];
  const Style& other = kStyles[(index + index / kStyleCount * 3) % kStyleCount];
  return {first.colour, other.dashes, other.mark};
}

// Sizes are in pixels of the SVG.
constexpr double kLeft = 68;  // tick labels and the label of the y axis
constexpr double kGap = 46;   // between columns: tick labels
constexpr double kRight = 18;
constexpr double kTop = 30;     // a panel's title
constexpr double kBottom = 24;  // tick labels
constexpr double kAxisLabel = 20;
constexpr double kLegendTop = 12;
constexpr double kLegendRow = 21;
constexpr double kSample = 44;      // the piece of line in the legend
constexpr double kCharacter = 7.9;  // mean width of a character of the legend
constexpr double kLegendGap = 22;
constexpr int kMarks = 6;  // marks on a curve

struct LegendEntry {
  std::string label;
  int style = 0;
  bool dashed = false;
  bool area = false;
};

// Positions in pixels from the lower left corner, as gnuplot counts its screen.
class Layout {
 public:
  Layout(const Figure& figure, const std::vector<LegendEntry>& legend)
      : columns_(std::min<int>(figure.columns, static_cast<int>(figure.panels.size()))),
        rows_((static_cast<int>(figure.panels.size()) + columns_ - 1) / columns_),
        panel_width_(figure.panel_width),
        panel_height_(figure.panel_height) {
    width_ = kLeft + columns_ * panel_width_ + (columns_ - 1) * kGap + kRight;
    place_legend(legend);
    height_ = legend_height_ + rows_ * (kTop + panel_height_ + kBottom + kAxisLabel);
  }

  double width() const { return width_; }
  double height() const { return height_; }
  int columns() const { return columns_; }

  std::string margins(int panel) const {
    const double left = kLeft + (panel % columns_) * (panel_width_ + kGap);
    const double top = height_ - kTop - (panel / columns_) * (kTop + panel_height_ + kBottom + kAxisLabel);
    return margins_command(x(left), x(left + panel_width_), y(top - panel_height_), y(top));
  }

  double x(double pixels) const { return pixels / width_; }
  double y(double pixels) const { return pixels / height_; }
  std::pair<double, double> legend_place(size_t entry) const {
    const size_t column = entry % legend_columns_.size();
    return {legend_columns_[column],
            legend_height_ - kLegendTop -
                kLegendRow * (static_cast<double>(entry / legend_columns_.size()) + .5)};
  }

 private:
  // The legend has as many columns as fit, each as wide as its longest label; the figure grows if one is too
  // wide.
  void place_legend(const std::vector<LegendEntry>& legend) {
    if (legend.empty()) return;
    for (size_t columns = legend.size(); columns >= 1; --columns) {
      std::vector<double> widths(columns, 0);
      for (size_t i = 0; i < legend.size(); ++i) {
        widths[i % columns] =
            std::max(widths[i % columns],
                     kSample + 8 + kCharacter * static_cast<double>(count_characters(legend[i].label)));
      }
      double total = kLegendGap * static_cast<double>(columns - 1);
      for (double width : widths) total += width;
      if (columns == 1) width_ = std::max(width_, total + 2 * kRight);
      if (total > width_ - 2 * kRight) continue;
      double left = (width_ - total) / 2;
      for (double width : widths) {
        legend_columns_.push_back(left);
        left += width + kLegendGap;
      }
      const size_t rows = (legend.size() + columns - 1) / columns;
      legend_height_ = 2 * kLegendTop + kLegendRow * static_cast<double>(rows);
      return;
    }
  }

  int columns_, rows_;
  double panel_width_, panel_height_;
  double width_ = 0, height_ = 0, legend_height_ = 0;
  std::vector<double> legend_columns_;
};

std::string line_style(int index, bool dashed) {
  const Style style = style_at(index);
  const bool solid = std::string_view(style.dashes) == "solid";
  return fmt::format("lc rgb '{}' lw 2 dt {}", style.colour, dashed && solid ? "(8,4)" : style.dashes);
}

std::string mark_style(int index) {
  const Style style = style_at(index);
  return fmt::format("pt {} ps .8 lw 1.2 lc rgb '{}'", style.mark, style.colour);
}

// The script of one figure. The caller's text goes only through gnuplot_string.
class FigureScript {
 public:
  FigureScript(const Figure& figure, const std::string& stem)
      : figure_(figure), legend_(legend_of(figure)), layout_(figure, legend_) {
    script_ =
        "# Draws " + stem + ".svg and " + stem + ".png; the data stands in this file.\nset encoding utf8\n";
    for (size_t i = 0; i < figure.panels.size(); ++i) {
      for (size_t j = 0; j < figure.panels[i].series.size(); ++j) add_data(i, j);
    }
    script_ +=
        "set border 3 lc rgb '#444444'\nset tics nomirror out scale .5 font ',10' tc rgb '#222222'\n"
        "set grid lt 1 lw .5 lc rgb '#DDDDDD'\nset xzeroaxis lt 1 lw 1 lc rgb '#999999'\nset key off\nset "
        "format '%h'\n"
        "set style fill transparent solid .14 noborder\n";
    for (const char* terminal : {"svg", "png"}) add_drawing(terminal, stem);
  }
  const std::string& text() const { return script_; }

 private:
  static std::vector<LegendEntry> legend_of(const Figure& figure) {
    std::vector<LegendEntry> legend;
    for (const Panel& panel : figure.panels) {
      for (const Series& series : panel.series) {
        const std::string label = shortened(series.label, 60);
        const bool known = std::any_of(legend.begin(), legend.end(),
                                       [&](const LegendEntry& entry) { return entry.label == label; });
        if (label.empty() || known) continue;
        const int style = series.style >= 0 ? series.style : static_cast<int>(legend.size());
        legend.push_back({label, style, series.dashed, series.area});
      }
    }
    return legend;
  }

  int style_of(const Series& series) const {
    if (series.style >= 0) return series.style;
    const std::string label = shortened(series.label, 60);
    const auto found = std::find_if(legend_.begin(), legend_.end(),
                                    [&](const LegendEntry& entry) { return entry.label == label; });
    return found == legend_.end() ? 0 : found->style;
  }

  // $dI_J: x, y and, with a band, its edges; a blank line where the curve has a gap. $mI_J: some of the
  // points, for marks, beginning at another one for every style so that the marks of equal curves do not hide
  // each other.
  void add_data(size_t panel, size_t index) {
    const Series& series = figure_.panels[panel].series[index];
    std::string curve, marks;
    bool any = false;
    const bool bars = !series.bars.empty();
    const size_t every = bars ? 1 : std::max<size_t>(1, (series.x.size() + kMarks - 1) / kMarks);
    const size_t first = usize(style_of(series)) % every;
    for (size_t i = 0; i < series.x.size(); ++i) {
      if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) {
        if (any) curve += "\n";
        continue;
      }
      const double error = series.error.empty() || !std::isfinite(series.error[i]) ? 0 : series.error[i];
      const double y = series.y[i];
      curve += fmt::format("{:.5g} {:.5g}", series.x[i], y);
      if (bars) curve += fmt::format(" {:.5g} {:.5g}", series.bars[i].first, series.bars[i].second);
      curve += bars || series.error.empty() ? "\n" : fmt::format(" {:.5g} {:.5g}\n", y - error, y + error);
      if (i % every == first) marks += fmt::format("{:.5g} {:.5g}\n", series.x[i], y);
      any = true;
    }
    if (!any) return;
    script_ += fmt::format("$d{}_{} << EOD\n{}EOD\n", panel, index, curve);
    plots_[{panel, index}] = !marks.empty();
    if (!marks.empty()) script_ += fmt::format("$m{}_{} << EOD\n{}EOD\n", panel, index, marks);
  }

  void add_drawing(const std::string& terminal, const std::string& stem) {
    const int scale = terminal == "png" ? 2 : 1;
    const auto width = static_cast<int>(std::lround(layout_.width())) * scale;
    const auto height = static_cast<int>(std::lround(layout_.height())) * scale;
    script_ += terminal == "png"
                   ? fmt::format(
                         "set terminal pngcairo noenhanced size {}, {} fontscale 2 linewidth 2 pointscale 2 "
                         "font 'sans-serif,11' background rgb 'white'\n",
                         width, height)
                   : fmt::format(
                         "set terminal svg noenhanced size {}, {} dynamic fontscale 1.25 font "
                         "'sans-serif,11' background rgb "
                         "'white'\n",
                         width, height);
    script_ += fmt::format("set output '{}.{}'\nset multiplot\n", stem, terminal);
    add_legend();
    for (size_t i = 0; i < figure_.panels.size(); ++i) {
      add_panel(i);
      // The legend belongs to the whole figure: drawn with every panel it would be repeated.
      if (i == 0) script_ += "unset label\nunset arrow\nunset object\n";
    }
    script_ += "unset multiplot\nset output\n";
  }

  void add_legend() {
    for (size_t i = 0; i < legend_.size(); ++i) {
      const auto [left, middle] = layout_.legend_place(i);
      const double x1 = layout_.x(left), x2 = layout_.x(left + kSample), y = layout_.y(middle);
      if (legend_[i].area) {
        script_ += fmt::format(
            "set object rectangle from screen {:.5f}, {:.5f} to screen {:.5f}, {:.5f} fc rgb "
            "'#D8D8D8' fs solid noborder\n",
            x1, layout_.y(middle - 5), x2, layout_.y(middle + 5));
      } else {
        script_ += fmt::format("set arrow from screen {:.5f}, {:.5f} to screen {:.5f}, {:.5f} nohead {}\n",
                               x1, y, x2, y, line_style(legend_[i].style, legend_[i].dashed));
        script_ += fmt::format("set label '' at screen {:.5f}, {:.5f} point {}\n", (x1 + x2) / 2, y,
                               mark_style(legend_[i].style));
      }
      script_ += fmt::format("set label {} at screen {:.5f}, {:.5f} left font ',11' noenhanced\n",
                             gnuplot_string(legend_[i].label), layout_.x(left + kSample + 8), y);
    }
  }

  void add_panel(size_t index) {
    const Panel& panel = figure_.panels[index];
    script_ += layout_.margins(static_cast<int>(index));
    script_ += fmt::format("set title {} font ',11' offset 0, -.6 noenhanced\n",
                           gnuplot_string(panel.title, title_characters(figure_.panel_width)));
    const bool leftmost = static_cast<int>(index) % layout_.columns() == 0;
    const bool lowest = index + usize(layout_.columns()) >= figure_.panels.size();
    script_ += fmt::format("set ylabel {} font ',11' offset 1, 0 noenhanced\n",
                           gnuplot_string(leftmost ? panel.y_label : "", 60));
    script_ += fmt::format("set xlabel {} font ',11' offset 0, .3 noenhanced\n",
                           gnuplot_string(lowest ? panel.x_label : "", 80));
    add_ranges(panel);
    std::vector<std::string> layers[3];  // areas and bands, lines, marks
    for (size_t j = 0; j < panel.series.size(); ++j) {
      const auto found = plots_.find({index, j});
      if (found == plots_.end()) continue;
      const Series& series = panel.series[j];
      const int style = style_of(series);
      const std::string data = fmt::format("$d{}_{}", index, j);
      if (series.area) {
        layers[0].insert(
            layers[0].begin(),
            data + " using 1:2 with filledcurves y1=0 notitle fc rgb '#D8D8D8' fs solid noborder");
        continue;
      }
      if (!series.bars.empty()) {
        layers[1].push_back(fmt::format("{} using 1:2:3:4 with yerrorbars notitle ps 0 lw 1.2 lc rgb '{}'",
                                        data, style_at(style).colour));
      } else if (!series.error.empty()) {
        layers[0].push_back(fmt::format("{} using 1:3:4 with filledcurves notitle fc rgb '{}'", data,
                                        style_at(style).colour));
      }
      layers[1].push_back(
          fmt::format("{} using 1:2 with lines notitle {}", data, line_style(style, series.dashed)));
      if (found->second) {
        layers[2].push_back(
            fmt::format("$m{}_{} using 1:2 with points notitle {}", index, j, mark_style(style)));
      }
    }
    std::string plots;
    for (const auto& layer : layers) {
      for (const std::string& plot : layer) plots += (plots.empty() ? "plot " : ", \\\n  ") + plot;
    }
    // An empty panel keeps its frame: 1/0 is gnuplot's "undefined".
    script_ += (plots.empty() ? "plot 1/0" : plots) + "\n";
  }

  void add_ranges(const Panel& panel) {
    double low = INFINITY, high = -INFINITY, bottom = INFINITY, top = -INFINITY;
    for (const Series& series : panel.series) {
      for (size_t i = 0; i < series.x.size(); ++i) {
        if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
        const double error = series.error.empty() || !std::isfinite(series.error[i]) ? 0 : series.error[i];
        low = std::min(low, series.x[i]);
        high = std::max(high, series.x[i]);
        bottom = std::min(bottom, series.area ? 0 : series.y[i] - error);
        top = std::max(top, series.y[i] + error);
        if (!series.bars.empty()) {
          bottom = std::min(bottom, series.bars[i].first);
          top = std::max(top, series.bars[i].second);
        }
      }
    }
    if (!(low <= high)) low = bottom = 0, high = top = 1;
    const double side = high > low ? .015 * (high - low) : .5;
    const double slack = top > bottom ? .05 * (top - bottom) : .5;
    const auto [y_low, y_high] = panel.y_range.value_or(std::pair(bottom - slack, top + slack));
    script_ += fmt::format("set xrange [{:.7g}:{:.7g}]\nset yrange [{:.7g}:{:.7g}]\n", low - side,
                           high + side, y_low, y_high);
  }

  const Figure& figure_;
  const std::vector<LegendEntry> legend_;
  const Layout layout_;
  std::map<std::pair<size_t, size_t>, bool> plots_;  // series that have data, and whether they have marks
  std::string script_;
};

}  // namespace

std::string gnuplot_string(std::string_view text, size_t most) {
  constexpr std::string_view kPlain = " .,:;()=+-/_<>";
  std::string quoted = "\"";
  for (char c : shortened(visible_line(text), most)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                       (c >= 'a' && c <= 'z') || kPlain.find(c) != std::string_view::npos;
    quoted += plain ? std::string(1, c) : fmt::format("\\{:03o}", byte);
  }
  return quoted + "\"";
}

std::string margins_command(double left, double right, double bottom, double top) {
  return fmt::format(
      "set lmargin at screen {:.5f}\nset rmargin at screen {:.5f}\nset bmargin at screen {:.5f}\nset tmargin "
      "at screen {:.5f}\n",
      left, right, bottom, top);
}

std::string figure_script(const Figure& figure, const std::string& stem) {
  return FigureScript(figure, stem).text();
}

}  // namespace claa::eval
