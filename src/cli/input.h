// Reading of what the user gives: files, pipes and standard input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace claa::cli {

// True where somebody gives text on standard input: it is a pipe, a socket or a file. A terminal, a device
// and a closed input give none.
bool input_is_piped();

// Says on stderr that text waits on standard input and is not read, and why. Waits for nothing.
void note_unread_input(const std::string& why);

// True for "-" and the names of standard input. Opened by such a name it would be refused where it is a
// socket, and begin again where it is a file that was read in part.
bool is_standard_input(const std::string& path);

// Whole text of a file, a pipe, or of standard input. What it had to do to make text of
// it is said on stderr. Throws Error: kCancelled when interrupted, else as read_file() and decode_document()
// do.
std::string read_text(const std::string& path);

// The same for the texts of a study, which is repeated from them: a text that is not UTF-8 throughout is
// refused. To be given as ReadText.
std::string read_exact_text(const std::string& path);

// Token ids separated by white space, commas or brackets (a JSON array is fine).
std::vector<int32_t> parse_ids(const std::string& text, const std::string& source);

}  // namespace claa::cli
