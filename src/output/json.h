// The one way to JSON text, for standard output and for files.
#pragma once

#include <boost/json.hpp>
#include <string>

namespace claa {

// One line, without a newline at its end, that every reader of RFC 8259 takes: numbers that are not finite
// become null, ill-formed UTF-8 U+FFFD, and controls (text/visible.h) are written as \uNNNN, so that the same
// line can be shown on a terminal.
std::string json_text(boost::json::value value);

}  // namespace claa
