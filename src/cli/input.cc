#include "cli/input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "cli/common.h"
#include "cli/terminal.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/counts.h"
#include "core/usize.h"
#include "text/document.h"

namespace claa::cli {
namespace {

constexpr std::string_view kStandardInput = "standard input";

// Far more than the longest context of any model; whoever gives more, gives an endless device or a wrong
// file.
constexpr size_t kMostBytes = size_t{1} << 30;

void note(std::string_view sentence) {
  tell("note: " + std::string(sentence));
}

// Waits until there is something to read, or the end. An interrupt may come right before any wait, and would
// be lost in one that has no end.
void wait_for(int fd, const std::string& name, bool& said) {
  constexpr int kPieceMs = 100;
  constexpr double kPatienceMs = 2000;
  const Stopwatch waiting;
  while (true) {
    pollfd wanted{fd, POLLIN, 0};
    const int ready = poll(&wanted, 1, kPieceMs);
    if (interrupt_flag()) throw Error(ErrorCode::kCancelled, "interrupted");
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) fail(ErrorCode::kIo, "cannot read '{}': {}", name, std::strerror(errno));
    if (said || waiting.ms() < kPatienceMs) continue;
    note(fmt::format("waiting for {}{}", name, fd == STDIN_FILENO ? "; </dev/null gives none" : ""));
    said = true;
  }
}

std::string read_all(int fd, const std::string& name) {
  std::string content;
  std::array<char, size_t{1} << 16> piece;
  bool said = false;  // once is enough
  while (true) {
    wait_for(fd, name, said);
    const ssize_t got = read(fd, piece.data(), piece.size());
    if (got == 0) return content;
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) fail(ErrorCode::kIo, "cannot read '{}': {}", name, std::strerror(errno));
    content.append(piece.data(), usize(got));
    if (content.size() > kMostBytes) {
      fail(ErrorCode::kInvalidArgument, "'{}' has more than {} bytes; give a shorter text", name,
           group_digits(kMostBytes));
    }
  }
}

// Closes a file descriptor on scope exit.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

// A named pipe whose writer is yet to come does not keep the program in open(), where an interrupt would be
// retried: it is opened at once and waited for.
std::string read_path(const std::string& path) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (file.fd < 0) {
    const ErrorCode code = errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo;
    fail(code, "cannot open '{}': {}", path, std::strerror(errno));
  }
  struct stat info {};
  if (fstat(file.fd, &info) != 0) fail(ErrorCode::kIo, "cannot stat '{}': {}", path, std::strerror(errno));
  if (S_ISDIR(info.st_mode)) fail(ErrorCode::kInvalidArgument, "'{}' is a directory, not a file", path);
  if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
    fail(ErrorCode::kInvalidArgument, "'{}' is a device; give a file, a pipe, or - for standard input", path);
  }
  return read_all(file.fd, path);
}

DocumentText read_any(const std::string& path) {
  const bool standard = is_standard_input(path);
  const std::string name = standard ? std::string(kStandardInput) : path;
  return decode_document(standard ? read_all(STDIN_FILENO, name) : read_path(path), name);
}

}  // namespace

bool is_standard_input(const std::string& path) {
  return path == "-" || path == "/dev/stdin" || path == "/dev/fd/0" || path == "/proc/self/fd/0";
}

bool input_is_piped() {
  struct stat info {};
  if (fstat(STDIN_FILENO, &info) != 0) return false;
  return S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode) || S_ISREG(info.st_mode);
}

void note_unread_input(const std::string& why) {
  int bytes = 0;
  const bool text = input_is_piped() && ioctl(STDIN_FILENO, FIONREAD, &bytes) == 0 && bytes > 0;
  if (text) note(fmt::format("the text on standard input is not read, because {}", why));
}

std::string read_text(const std::string& path) {
  DocumentText document = read_any(path);
  if (!document.note.empty()) note(document.note);
  return std::move(document.text);
}

std::string read_exact_text(const std::string& path) {
  DocumentText document = read_any(path);
  if (document.ill_formed > 0) throw Error(ErrorCode::kInvalidArgument, document.note);
  if (!document.note.empty()) note(document.note);
  return std::move(document.text);
}

std::vector<int32_t> parse_ids(const std::string& text, const std::string& source) {
  constexpr std::string_view kSeparators = " \t\r\n,[]";
  std::vector<int32_t> ids;
  size_t at = text.find_first_not_of(kSeparators);
  while (at != std::string::npos) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    int32_t id = 0;
    const auto [last, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc() || last != text.data() + end) {
      fail(ErrorCode::kInvalidArgument, "'{}' at byte {}: '{}' is not a token id; give whole numbers", source,
           at, text.substr(at, std::min<size_t>(end - at, 32)));
    }
    ids.push_back(id);
    at = text.find_first_not_of(kSeparators, end);
  }
  return ids;
}

}  // namespace claa::cli
