#include "eval/draw/gnuplot.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "core/check.h"
#include "core/usize.h"

namespace claa::eval {
namespace {

constexpr size_t kMostMessage = 2000;  // bytes of gnuplot's messages that go into an error

class Pipe {
 public:
  Pipe() {
    // A pipe that is closed on exec, so that no other child of the program inherits an end and holds it open.
    if (::pipe2(ends_, O_CLOEXEC) != 0) {
      fail(ErrorCode::kIo, "cannot run gnuplot: no pipe for its messages ({})", std::strerror(errno));
    }
  }
  ~Pipe() {
    ::close(ends_[0]);
    close_write_end();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int write_end() const { return ends_[1]; }
  void close_write_end() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }

  // Reads until the other side closes; bytes beyond kMostMessage are read and dropped, so that the writer
  // never waits.
  std::string read_all() {
    std::string text;
    char buffer[4096];
    for (;;) {
      const ssize_t count = ::read(ends_[0], buffer, sizeof buffer);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return text;
      text.append(buffer, std::min(usize(count), kMostMessage - std::min(kMostMessage, text.size())));
    }
  }

 private:
  int ends_[2] = {-1, -1};
};

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

// For an error in a script gnuplot prints blank lines, the line, and an arrow below the place; this leaves
// one line.
std::string in_one_line(std::string_view text) {
  std::string line;
  for (char c : text) {
    const bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!blank) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line.empty() ? "it printed no message" : line;
}

pid_t spawn(const std::filesystem::path& folder, const std::string& script, int messages) {
  FileActions actions;
  int error = ::posix_spawn_file_actions_addchdir_np(actions.get(), folder.c_str());
  if (error == 0) error = ::posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
  if (error == 0) error = ::posix_spawn_file_actions_addopen(actions.get(), 1, "/dev/null", O_WRONLY, 0);
  if (error == 0) error = ::posix_spawn_file_actions_adddup2(actions.get(), messages, 2);
  pid_t child = -1;
  if (error == 0) {
    std::string name = "gnuplot", defaults = "--default-settings", file = script;
    char* arguments[] = {name.data(), defaults.data(), file.data(), nullptr};
    error = ::posix_spawnp(&child, name.c_str(), actions.get(), nullptr, arguments, environ);
  }
  if (error == ENOENT) {
    fail(
        ErrorCode::kNotFound,
        "gnuplot, which draws the pictures, is not installed: install it (Debian and Ubuntu: apt-get install "
        "gnuplot-nox) or leave the pictures out");
  }
  if (error != 0) fail(ErrorCode::kIo, "cannot run gnuplot: {}", std::strerror(error));
  return child;
}

}  // namespace

void run_gnuplot(const std::filesystem::path& folder, const std::string& script) {
  Pipe messages;
  const pid_t child = spawn(folder, script, messages.write_end());
  messages.close_write_end();
  const std::string text = messages.read_all();
  int status = 0;
  pid_t waited = -1;
  do {
    waited = ::waitpid(child, &status, 0);
  } while (waited < 0 && errno == EINTR);
  // A program that ignores SIGCHLD has its children reaped for it. The status is then unknown, and the caller
  // notices the failure by the missing picture.
  if (waited < 0) return;
  if (WIFSIGNALED(status)) {
    fail(ErrorCode::kInternal, "gnuplot was ended by signal {} while it drew {}: {}", WTERMSIG(status),
         script, in_one_line(text));
  }
  if (WEXITSTATUS(status) != 0) {
    fail(ErrorCode::kInternal, "gnuplot could not draw {} (exit status {}): {}", script, WEXITSTATUS(status),
         in_one_line(text));
  }
}

}  // namespace claa::eval
