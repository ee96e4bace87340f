// Context: the limits of one rendering, and its current position. Everything that makes a value asks it
// first, so that no template can run, grow or nest without end. It also has the argument readers that
// functions and filters share.
#pragma once

#include <fmt/format.h>

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "template/chat_template.h"
#include "template/jinja_value.h"

namespace claa::jinja {

class Context {
 public:
  explicit Context(const TemplateLimits& limits, const TemplateDate& date = {});
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int line = 1;  // line of the node being parsed or evaluated; named in errors

  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    claa::fail(ErrorCode::kTemplate, "chat template, line {}: {}", line,
               fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void fail_undefined(const Value& value) const;

  void step(uint64_t count = 1) {
    if (count > steps_left_) fail_steps();
    steps_left_ -= count;
  }
  // Counts work on `bytes` of text.
  void step_bytes(uint64_t bytes) { step(1 + bytes / kBytesPerStep); }
  void check_text_size(uint64_t bytes) const;
  int max_depth() const { return max_depth_; }
  const TemplateDate& date() const { return date_; }

  // Creates values. Cost and size are checked before anything is copied; items that exist already are checked
  // as they are added.
  Value text(Text text);
  Value text(std::string_view bytes, Origin origin = kFromTemplate);
  Value list(std::vector<Value> items, bool tuple = false);
  Value dict(std::vector<std::pair<Value, Value>> entries);
  Value function(std::string name, FunctionPtr function, Value subject = {});
  Value name_space(std::vector<std::pair<std::string, Value>> attributes);
  void reserve_list(uint64_t size) { step(1 + 2 * size); }  // call it before a list of that size is built

  static constexpr uint64_t kBytesPerStep = 16;

 private:
  friend class DepthGuard;
  [[noreturn]] void fail_steps() const;
  [[noreturn]] void fail_depth() const;
  void check_nesting(int depth) const;

  uint64_t max_steps_;
  uint64_t steps_left_;
  int max_depth_;
  uint64_t max_output_;
  int depth_ = 0;
  TemplateDate date_;
  std::deque<Namespace> namespaces_;
};

// Counts one level of recursion while it lives.
class DepthGuard {
 public:
  explicit DepthGuard(Context& context) : context_(context) {
    if (context_.depth_ >= context_.max_depth_) context_.fail_depth();
    ++context_.depth_;
  }
  ~DepthGuard() { --context_.depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Context& context_;
};

// Builds a string within the limits.
class TextBuilder {
 public:
  explicit TextBuilder(Context& context) : context_(context) {}
  void append(std::string_view bytes, Origin origin = kFromTemplate);
  void append(const Text& text) { append(text, 0, text.size()); }
  void append(const Text& text, size_t begin, size_t end);
  size_t size() const { return text_.size(); }
  Context& context() const { return context_; }
  Text take();
  Value finish();

 private:
  void charge(uint64_t bytes);

  Context& context_;
  Text text_;
  uint64_t pending_ = 0;  // bytes handled but not yet counted as steps
};

// Reads the arguments of a call by position, then by name: one call of a reading function for each parameter,
// in order.
class ArgumentReader {
 public:
  ArgumentReader(const Context& context, std::string_view callee, const Arguments& arguments)
      : context_(context), callee_(callee), arguments_(arguments) {}

  const Value* next(std::string_view name);  // null when not given
  const Value& required(std::string_view name);
  int64_t integer(std::string_view name, int64_t otherwise);
  bool flag(std::string_view name, bool otherwise);
  const Text* optional_text(std::string_view name);  // null when not given or none
  const Text& required_text(std::string_view name);
  void done() const;  // fails when an argument was not read

 private:
  const Context& context_;
  std::string_view callee_;
  const Arguments& arguments_;
  size_t position_ = 0;
  size_t keywords_read_ = 0;
};

}  // namespace claa::jinja
