// Standard output and standard error: the only place of the program that writes to them, so that whatever a
// file or a request says goes through one door. Standard output is what was asked for: the first write that
// fails ends the work. Standard error is diagnostics: a write that fails is forgotten, and the work goes on.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string_view>

namespace claa::cli {

// These write to standard output. They throw Error{kIo} with the system's reason, Error{kCancelled} for an
// interrupt while nobody reads, and ClosedOutput where the reader is gone.
void write_text(std::string_view text);         // for people: visible_text() of it
void write_json(boost::json::value value);      // a line of it
void write_answer(std::string_view piece);      // of the model: exact bytes, but visible_text() on a terminal
void write_drawn(std::string_view with_codes);  // colours of our own around texts that are visible already

// These write to standard error. The middle of a very long line is left out.
void tell(std::string_view sentence);          // "claa: " before it; one line, whatever it quotes
void tell_line(std::string_view line);         // a line without that
void tell_drawn(std::string_view with_codes);  // a line of progress, visible already

// True where standard output is a terminal that knows colours.
bool output_takes_codes();
// Columns that a line on standard error may take, one less than the terminal has, because some wrap when the
// last one is written; 0 where a line cannot be erased. Asked anew every time: a window may become narrower.
int64_t progress_columns();

// The reader of standard output has closed it, as `head` does. Whoever catches it cleans up and lets the
// program end as such a program ends, by end_for_closed_output().
struct ClosedOutput {};
[[noreturn]] void end_for_closed_output();

// Lets writes to a pipe without a reader fail instead of ending the process in their midst. Programs that are
// started from here find the signal as it was.
void install_pipe_handler();

}  // namespace claa::cli
