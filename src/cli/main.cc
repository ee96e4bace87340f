// The command line: subcommands, and the one place where an error becomes a sentence and an exit code.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>

#include "claa/version.h"
#include "cli/common.h"
#include "cli/numbers.h"

namespace {

constexpr int kUserError = 2;
constexpr int kInterrupted = 130;

int report(const claa::Error& error) {
  if (error.code() == claa::ErrorCode::kCancelled) {
    std::cerr << "claa: interrupted\n";
    return kInterrupted;
  }
  std::cerr << "claa: " << error.what() << "\n";
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

// The status of a command that did what it should, unless its output did not reach its place.
int finish_output(int status) {
  if (std::cout.flush()) return status;
  std::cerr << "claa: cannot write to standard output\n";
  return kUserError;
}

}  // namespace

int main(int argc, char** argv) {
  if (!open_standard_descriptors()) return kUserError;
  claa::cli::install_interrupt_handler();
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
  } catch (const CLI::Success& done) {  // --help, --version
    return finish_output(app.exit(done));
  } catch (const CLI::ParseError& error) {
    std::cerr << "claa: " << error.what() << " (see claa --help)\n";
    return kUserError;
  } catch (const claa::cli::ExitStatus& exit) {
    std::cout.flush();
    return exit.status;
  } catch (const claa::Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    std::cerr << "claa: out of memory; use a shorter prompt or a smaller model\n";
    return kUserError;
  } catch (const std::exception& error) {
    std::cerr << "claa: internal error: " << error.what() << "; please report it\n";
    return 1;
  }
  return finish_output(0);
}
