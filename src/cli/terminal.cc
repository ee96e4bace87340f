#include "cli/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cli/common.h"
#include "core/check.h"
#include "core/usize.h"
#include "output/json.h"
#include "text/visible.h"

namespace claa::cli {
namespace {

bool pipe_signal_ends = false;  // the signal was to end the program when it was started

// Writes all bytes; returns 0, or the number of the system's error. An interrupt while it waits for a reader
// of standard output ends it; one that came before does not, as it may be what there is to tell of.
int write_all(int fd, std::string_view bytes) {
  const bool ends = fd == STDOUT_FILENO && !interrupt_flag();
  while (true) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(usize(written));
    } else if (errno == EAGAIN) {  // somebody else made the descriptor so
      pollfd room{fd, POLLOUT, 0};
      poll(&room, 1, 100);
    } else if (errno != EINTR) {
      return errno;
    }
    if (bytes.empty()) return 0;
    if (ends && interrupt_flag()) throw Error(ErrorCode::kCancelled, "interrupted");
  }
}

void write_out(std::string_view bytes) {
  const int error = write_all(STDOUT_FILENO, bytes);
  if (error == 0) return;
  if (error == EPIPE && pipe_signal_ends) throw ClosedOutput();
  fail(ErrorCode::kIo, "cannot write to standard output: {}", std::strerror(error));
}

bool is_dumb() {
  const char* term = std::getenv("TERM");
  return term != nullptr && std::string_view(term) == "dumb";
}

extern "C" void on_closed_pipe(int /*signal*/) {}

}  // namespace

void write_text(std::string_view text) {
  write_out(visible_text(text));
}

void write_json(boost::json::value value) {
  write_out(json_text(std::move(value)) + "\n");
}

void write_answer(std::string_view piece) {
  if (isatty(STDOUT_FILENO) != 0) return write_text(piece);
  write_out(piece);
}

void write_drawn(std::string_view with_codes) {
  write_out(with_codes);
}

void tell(std::string_view sentence) {
  tell_line("claa: " + std::string(sentence));
}

void tell_line(std::string_view line) {
  // What a file says may be of any length. What to do about it stands at the end.
  constexpr size_t kBegin = 3072, kEnd = 512;
  std::string bytes(line);
  if (bytes.size() > kBegin + kEnd) bytes.replace(kBegin, bytes.size() - kBegin - kEnd, " [...] ");
  write_all(STDERR_FILENO, visible_line(bytes) + "\n");
}

void tell_drawn(std::string_view with_codes) {
  write_all(STDERR_FILENO, with_codes);
}

bool output_takes_codes() {
  return isatty(STDOUT_FILENO) != 0 && !is_dumb();
}

int64_t progress_columns() {
  constexpr int64_t kUsual = 80;
  if (isatty(STDERR_FILENO) == 0 || is_dumb()) return 0;
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (known ? size.ws_col : kUsual) - 1;
}

void end_for_closed_output() {
  signal(SIGPIPE, SIG_DFL);
  raise(SIGPIPE);
  std::abort();  // nobody handles the signal otherwise, so that this is not reached
}

void install_pipe_handler() {
  struct sigaction before {};
  sigaction(SIGPIPE, nullptr, &before);
  // Whoever ignores it before the start wants an error instead, and gets it.
  pipe_signal_ends = before.sa_handler == SIG_DFL;
  if (!pipe_signal_ends) return;
  // A handler, because a signal that is ignored would be ignored by the programs that are started here too.
  struct sigaction action {};
  action.sa_handler = on_closed_pipe;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  sigaction(SIGPIPE, &action, nullptr);
}

}  // namespace claa::cli
