// How numbers are written on the command line.
#pragma once

#include <CLI/CLI.hpp>

namespace claa::cli {

// Makes every option of the app and its subcommands that takes a number take decimal ones alone, whole where
// the option's type is, and no larger than the type. CLI11 by itself takes 010 for 8, 0x10 for 16, an empty
// text for 0, -1 for the largest unsigned number, and cuts what does not fit. Ranges stay with their options.
void require_decimal_numbers(CLI::App& app);

}  // namespace claa::cli
