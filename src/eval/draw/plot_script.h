// The gnuplot scripts of plot.h.
#pragma once

#include <string>
#include <string_view>

#include "eval/draw/plot.h"

namespace claa::eval {

// Text as one gnuplot string. Everything except letters, digits and harmless punctuation is written as octal
// numbers, so that no quote, backslash, `command` or @macro remains. Doubling quotes does not work, because
// gnuplot takes a doubled quote at the beginning of a string for its end. The text is made one visible line
// (text/visible.h) and cut after `most` characters.
std::string gnuplot_string(std::string_view text, size_t most = 80);

// Edges of the plotted area as fractions of the picture, from its lower left corner.
std::string margins_command(double left, double right, double bottom, double top);

// A script that writes STEM.svg and STEM.png in the current folder. `stem` must need no quoting.
std::string figure_script(const Figure& figure, const std::string& stem);
std::string heat_map_script(const HeatMap& map, const std::string& stem);

}  // namespace claa::eval
