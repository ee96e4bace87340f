// The command line: subcommands, and the one place where an error becomes a sentence and an exit code.
#include <iostream>

#include "claa/version.h"
#include "cli/common.h"

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

}  // namespace

int main(int argc, char** argv) {
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {  // --help, --version
    return app.exit(done);
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
  if (!std::cout.flush()) {
    std::cerr << "claa: cannot write to standard output\n";
    return kUserError;
  }
  return 0;
}
