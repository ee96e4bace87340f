// Parameters of a request, named and valued by any bytes, for every method and many prompts: they are refused
// with a message, or make a run whose bounds make sense before the first layer.
//
// Input: method, layers, tokens, protected tokens, then pairs of a parameter and a line with its value.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "claa/error.h"
#include "claa/registry.h"

namespace {

void expect(bool condition) {
  if (!condition) std::abort();
}

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string line() {
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string value(rest_.substr(0, end));
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return value;
  }

 private:
  std::string_view rest_;
};

void check_bounds(const claa::Run& run, const claa::PromptInfo& prompt) {
  const auto drop = run.first_drop();
  expect(!drop || (*drop >= -1 && *drop < prompt.layers));
  expect(run.window() >= 0);
  for (int layer = 0; layer < prompt.layers; ++layer) {
    const auto kept = run.most_kept(layer);
    expect(!kept || *kept > 0);
    expect(!run.may_drop(layer) || (drop && *drop <= layer));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const claa::MethodRegistry methods = claa::builtin_methods();
  Bytes bytes(data, size);
  const claa::MethodInfo& info = methods.all()[bytes.byte() % methods.all().size()];
  claa::PromptInfo prompt;
  prompt.layers = 1 + bytes.byte() % 80;
  prompt.tokens = 1 + (bytes.byte() << 8 | bytes.byte());
  prompt.heads = 8;
  prompt.kv_heads = 2;
  prompt.head_size = 64;
  const auto protect = static_cast<int64_t>(bytes.byte());
  if (protect > 0) prompt.protected_spans.push_back({0, std::min(prompt.tokens, protect)});
  claa::ParamValues values;
  while (!bytes.empty() && values.size() < 32) {
    const uint8_t index = bytes.byte();
    // A name that the method does not have is refused too.
    const std::string name = index < info.params.size() ? info.params[index].name : std::string(1, 'x');
    values[name] = bytes.line();
  }
  try {
    const auto method = info.create(values);
    expect(method->name() == info.name);
    const auto run = method->start(prompt);
    check_bounds(*run, prompt);
    run->report();
  } catch (const claa::Error& error) {
    expect(error.code() == claa::ErrorCode::kInvalidArgument);
    expect(*error.what() != 0);
  }
  return 0;
}
