// The command line: subcommands, and the one place where an error becomes a sentence and an exit code.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "claa/version.h"
#include "cli/common.h"
#include "cli/numbers.h"
#include "cli/terminal.h"

namespace {

constexpr int kUserError = 2;
constexpr int kInterrupted = 130;

int report(const claa::Error& error) {
  if (error.code() == claa::ErrorCode::kCancelled) {
    claa::cli::tell("interrupted");
    return kInterrupted;
  }
  claa::cli::tell(error.what());
  return error.code() == claa::ErrorCode::kInternal ? 1 : kUserError;
}

// A descriptor that was closed before the start would be given to the next file that is opened, and what is
// said on standard error would be written into results. /dev/null is opened against its direction, so that a
// write to standard output still fails. Nothing can be said where this fails.
bool open_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return false;
  }
  return true;
}

// --help and --version end the parse.
void show_help(const CLI::App& app, const CLI::Success& asked) {
  std::ostringstream text, none;
  app.exit(asked, text, none);
  claa::cli::write_text(text.str());
}

int run(int argc, char** argv) {
  CLI::App app{
      "Answers questions about long prompts fast: its prefill computes only the tokens that matter."};
  app.set_version_flag("--version", claa::kVersion);
  app.require_subcommand(1);
  claa::cli::add_run(app);
  claa::cli::add_bench(app);
  claa::cli::add_trace(app);
  claa::cli::add_oracle(app);
  claa::cli::add_diagnose(app);
  claa::cli::add_eval(app);
  claa::cli::add_calibrate(app);
  claa::cli::add_inspect(app);
  claa::cli::add_tokenize(app);
  claa::cli::add_methods(app);
  claa::cli::require_decimal_numbers(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    show_help(app, asked);
  } catch (const CLI::ParseError& error) {
    claa::cli::tell(std::string(error.what()) + " (see claa --help)");
    return kUserError;
  } catch (const claa::cli::ExitStatus& exit) {
    return exit.status;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (!open_standard_descriptors()) return kUserError;
  claa::cli::install_interrupt_handler();
  claa::cli::install_pipe_handler();
  try {
    return run(argc, argv);
  } catch (const claa::cli::ClosedOutput&) {
    claa::cli::end_for_closed_output();
  } catch (const claa::Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    claa::cli::tell("out of memory; use a shorter prompt or a smaller model");
    return kUserError;
  } catch (const std::exception& error) {
    claa::cli::tell("internal error: " + std::string(error.what()) + "; please report it");
    return 1;
  }
}
