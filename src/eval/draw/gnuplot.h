// Runs the program gnuplot, which draws the pictures.
#pragma once

#include <filesystem>
#include <string>

namespace claa::eval {

// Runs `gnuplot SCRIPT` in `folder`, without a shell and without the user's gnuplot settings, and waits.
// Throws Error{kNotFound} when there is no gnuplot on the PATH, Error{kInternal} with gnuplot's message when
// it fails.
void run_gnuplot(const std::filesystem::path& folder, const std::string& script);

}  // namespace claa::eval
