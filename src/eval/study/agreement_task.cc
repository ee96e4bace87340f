#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "core/counts.h"
#include "core/usize.h"
#include "eval/stats/bootstrap.h"
#include "eval/study/agreement.h"
#include "text/document.h"

namespace claa::eval {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kContinuation = 64;  // tokens fed after the prompt

std::vector<std::string> read_texts(const TaskOptions& options) {
  const std::string& path = options.haystack.empty() ? options.data : options.haystack;
  if (path.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "the task 'agreement' needs a text: give --haystack FILE, or --data with .txt files");
  }
  std::error_code error;
  if (!fs::is_directory(path, error)) return {options.read_text(path)};
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  if (files.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "the task 'agreement' needs a text: '{}' has no .txt files; give --haystack FILE", path);
  }
  std::sort(files.begin(), files.end());
  std::vector<std::string> texts;
  for (const fs::path& file : files) texts.push_back(read_document(file.string()));
  return texts;
}

bool blank(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// A text, and the places before its words: byte-level tokenizers never join a word to the one before it.
class Words {
 public:
  Words(std::string text, const TaskOptions& options) : text_(std::move(text)), count_(options.count_tokens) {
    for (size_t i = 1; i < text_.size(); ++i) {
      if (blank(text_[i]) && !blank(text_[i - 1])) ends_.push_back(i);
    }
    ends_.push_back(text_.size());
  }
  // The last place up to which there are at most `tokens` tokens from `begin`; `begin` when there is none.
  size_t reach(size_t begin, int64_t tokens) const {
    auto low = std::upper_bound(ends_.begin(), ends_.end(), begin);
    // Every word has at least one token, which bounds the search.
    auto high = ends_.end() - low > tokens ? low + tokens : ends_.end();
    const auto fits = [&](size_t end) { return count_(piece(begin, end)) <= tokens; };
    const auto over = std::partition_point(low, high, fits);
    return over == low ? begin : *(over - 1);
  }
  std::string_view piece(size_t begin, size_t end) const {
    return std::string_view(text_).substr(begin, end - begin);
  }
  size_t size() const { return text_.size(); }

 private:
  std::string text_;
  std::function<int64_t(std::string_view)> count_;
  std::vector<size_t> ends_;
};

void add_pieces(const Words& words, int64_t length, std::vector<Example>& pieces) {
  for (size_t begin = 0; begin < words.size();) {
    const size_t middle = words.reach(begin, length);
    const size_t end = words.reach(middle, kContinuation);
    if (middle == begin || end == middle || end == words.size()) return;  // too little is left
    Example example;
    example.prompt = words.piece(begin, middle);
    example.answers = {std::string(words.piece(middle, end))};
    example.facets["length"] = static_cast<double>(length);
    pieces.push_back(std::move(example));
    begin = end;
  }
}

std::vector<Example> make(const std::string& name, const TaskOptions& options) {
  std::vector<Words> texts;
  for (std::string& text : read_texts(options)) texts.emplace_back(std::move(text), options);
  std::vector<Example> examples;
  for (const int64_t length : options.lengths) {
    std::vector<Example> pieces;
    for (const Words& text : texts) add_pieces(text, length, pieces);
    if (pieces.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "the text for '{}' is shorter than a prompt of {} tokens and {} more; use a longer text or "
           "--lengths",
           name, group_digits(length), group_digits(kContinuation));
    }
    RandomIndex random(options.seed);
    for (size_t i = pieces.size(); i > 1; --i) std::swap(pieces[i - 1], pieces[random.below(i)]);
    if (options.examples > 0) pieces.resize(std::min(pieces.size(), usize(options.examples)));
    for (size_t i = 0; i < pieces.size(); ++i) {
      Example& example = pieces[i];
      example.id = fmt::format("{}/{}/{}", name, length, i);
      example.task = example.metric = name;
      example.group = kAgreementGroup;
      example.chat = false;
      example.max_tokens = kContinuation;
      examples.push_back(std::move(example));
    }
  }
  return examples;
}

}  // namespace

std::vector<TaskInfo> agreement_tasks() {
  const auto info = [](const std::string& name, const std::string& summary) {
    return TaskInfo{name, kAgreementGroup, summary, "a text (--haystack, or .txt files)",
                    [name](const TaskOptions& options) { return make(name, options); }};
  };
  return {info("agreement", "next tokens against those of full, along a text"),
          info("agreement_own", "next tokens against those of full, along full's own answer")};
}

bool is_agreement(const Example& example) {
  return example.group == kAgreementGroup;
}

}  // namespace claa::eval
