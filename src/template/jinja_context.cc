#include "template/jinja_context.h"

#include <algorithm>
#include <memory>

namespace claa::jinja {
namespace {

// At depths above this, the recursion of the interpreter itself might not fit a thread's stack.
constexpr int kMaxDepth = 1000;
// A string and its bookkeeping take about as much memory as this many steps.
constexpr uint64_t kTextSteps = 6;
constexpr uint64_t kDictEntrySteps = 4;

}  // namespace

Context::Context(const TemplateLimits& limits, const TemplateDate& date)
    : max_steps_(limits.max_steps),
      steps_left_(limits.max_steps),
      max_depth_(std::clamp(limits.max_depth, 1, kMaxDepth)),
      max_output_(limits.max_output),
      date_(date) {}

void Context::fail_steps() const {
  fail("rendering takes more than {} steps", max_steps_);
}

void Context::fail_depth() const {
  fail("nested deeper than {} levels", max_depth_);
}

void Context::fail_undefined(const Value& value) const {
  const auto& what = std::get<Undefined>(value.data()).what;
  fail("{}", what == nullptr ? "the value is undefined" : *what);
}

void Context::check_text_size(uint64_t bytes) const {
  if (bytes > max_output_) fail("the text grows beyond {} bytes", max_output_);
}

void Context::check_nesting(int depth) const {
  if (depth > max_depth_) fail("a value is nested deeper than {} levels", max_depth_);
}

Value Context::text(Text text) {
  check_text_size(text.size());
  step(kTextSteps + text.size() / kBytesPerStep + text.runs().size());
  return Value(std::make_shared<const Text>(std::move(text)));
}

Value Context::text(std::string_view bytes, Origin origin) {
  check_text_size(bytes.size());
  step(kTextSteps + bytes.size() / kBytesPerStep);
  return Value(std::make_shared<const Text>(std::string(bytes), origin));
}

Value Context::list(std::vector<Value> items, bool tuple) {
  reserve_list(items.size());
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, nesting(item));
  check_nesting(depth + 1);
  return Value(ListPtr(std::make_shared<const List>(List{std::move(items), tuple, depth + 1})));
}

Value Context::dict(std::vector<std::pair<Value, Value>> entries) {
  step(1 + kDictEntrySteps * entries.size());
  int depth = 0;
  for (const auto& [key, value] : entries) depth = std::max({depth, nesting(key), nesting(value)});
  check_nesting(depth + 1);
  return Value(DictPtr(std::make_shared<const Dict>(Dict{std::move(entries), depth + 1})));
}

Value Context::function(std::string name, FunctionPtr function, Value subject) {
  step(kTextSteps);
  check_nesting(nesting(subject) + 1);
  Callable callable;
  callable.name = std::move(name);
  callable.function = function;
  callable.subject = std::move(subject);
  return Value(CallablePtr(std::make_shared<const Callable>(std::move(callable))));
}

Value Context::name_space(std::vector<std::pair<std::string, Value>> attributes) {
  step(kTextSteps + kDictEntrySteps * attributes.size());
  namespaces_.push_back({std::move(attributes)});
  return Value(&namespaces_.back());
}

void TextBuilder::charge(uint64_t bytes) {
  pending_ += bytes;
  if (pending_ < Context::kBytesPerStep) return;
  context_.step(pending_ / Context::kBytesPerStep);
  pending_ %= Context::kBytesPerStep;
}

void TextBuilder::append(std::string_view bytes, Origin origin) {
  context_.check_text_size(text_.size() + bytes.size());
  charge(bytes.size());
  const size_t runs = text_.runs().size();
  text_.append(bytes, origin);
  charge((text_.runs().size() - runs) * Context::kBytesPerStep);
}

void TextBuilder::append(const Text& text, size_t begin, size_t end) {
  context_.check_text_size(text_.size() + (end - begin));
  charge(end - begin);
  // A part never has more runs than bytes, nor more runs than the whole.
  charge(std::min(text.runs().size(), end - begin) * Context::kBytesPerStep);
  text_.append(text, begin, end);
}

Text TextBuilder::take() {
  pending_ = 0;
  return std::exchange(text_, Text());
}

Value TextBuilder::finish() {
  context_.step(kTextSteps);
  return Value(std::make_shared<const Text>(take()));
}

const Value* ArgumentReader::next(std::string_view name) {
  const Value* by_name = nullptr;
  for (const auto& [key, value] : arguments_.keyword) {
    if (key == name) by_name = &value;
  }
  if (position_ < arguments_.positional.size()) {
    if (by_name != nullptr) context_.fail("{}() got two values for '{}'", callee_, name);
    return &arguments_.positional[position_++];
  }
  if (by_name != nullptr) ++keywords_read_;
  return by_name;
}

const Value& ArgumentReader::required(std::string_view name) {
  const Value* value = next(name);
  if (value == nullptr) context_.fail("{}() needs the argument '{}'", callee_, name);
  return *value;
}

int64_t ArgumentReader::integer(std::string_view name, int64_t otherwise) {
  const Value* value = next(name);
  if (value == nullptr || value->is_none()) return otherwise;
  if (value->is_undefined()) context_.fail_undefined(*value);
  if (!value->is_integral())
    context_.fail("{}() needs an integer for '{}', not a {}", callee_, name, type_name(*value));
  return value->as_integer();
}

bool ArgumentReader::flag(std::string_view name, bool otherwise) {
  const Value* value = next(name);
  return value == nullptr ? otherwise : truthy(*value);
}

const Text* ArgumentReader::optional_text(std::string_view name) {
  const Value* value = next(name);
  if (value == nullptr || value->is_none()) return nullptr;
  if (value->is_undefined()) context_.fail_undefined(*value);
  if (value->text() == nullptr)
    context_.fail("{}() needs a string for '{}', not a {}", callee_, name, type_name(*value));
  return value->text();
}

const Text& ArgumentReader::required_text(std::string_view name) {
  const Text* text = optional_text(name);
  if (text == nullptr) context_.fail("{}() needs a string for '{}'", callee_, name);
  return *text;
}

void ArgumentReader::done() const {
  if (position_ < arguments_.positional.size()) context_.fail("{}() got too many arguments", callee_);
  if (keywords_read_ == arguments_.keyword.size()) return;
  context_.fail("{}() got an argument it does not know, one of: {}", callee_, [this] {
    std::string names;
    for (const auto& [key, value] : arguments_.keyword) names += (names.empty() ? "" : ", ") + key;
    return names;
  }());
}

}  // namespace claa::jinja
