// Methods made on the spot from functions, for tests of the runner.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "claa/prefill.h"

namespace claa::test {

// The behaviour of a run of a TestMethod; functions left out do nothing.
struct Script {
  std::optional<PreviewSpec> preview_spec;
  std::function<void(LayerView&)> preview;
  std::function<Entry(std::vector<float>)> entry;
  std::function<Decision(LayerView&)> decide;
  bool may_drop = true;  // whether decide() may drop live tokens
  std::optional<int> first_drop;
  RunReport report = {true};
};

class TestMethod : public Method {
 public:
  explicit TestMethod(Script script) : script_(std::move(script)) {}
  const std::string& name() const override { return name_; }
  std::vector<std::pair<std::string, std::string>> params() const override { return {}; }
  std::unique_ptr<Run> start(const PromptInfo& /*prompt*/) const override {
    return std::make_unique<ScriptRun>(script_);
  }

 private:
  class ScriptRun : public Run {
   public:
    explicit ScriptRun(const Script& script) : script_(script) {}
    std::optional<PreviewSpec> preview_spec() const override { return script_.preview_spec; }
    void preview(LayerView& view) override {
      if (script_.preview) script_.preview(view);
    }
    Entry entry(std::vector<float> scores) override {
      return script_.entry ? script_.entry(scores) : Entry{};
    }
    Decision decide(LayerView& view) override { return script_.decide ? script_.decide(view) : Decision{}; }
    std::optional<int> first_drop() const override { return script_.first_drop; }
    bool may_drop(int /*layer*/) const override { return script_.decide != nullptr && script_.may_drop; }
    RunReport report() const override { return script_.report; }

   private:
    const Script& script_;
  };
  std::string name_ = "test";
  Script script_;
};

// A preview of layers [0, last], each shown, before a run that drops nothing.
inline Script preview_script(int last, std::function<void(LayerView&)> observe) {
  Script script;
  script.preview_spec = PreviewSpec{.last_layer = last};
  script.preview = std::move(observe);
  return script;
}

// Only these prompt tokens enter layer 0.
inline TestMethod entry_method(std::vector<int32_t> tokens, bool renumber = false) {
  Script script;
  script.entry = [tokens = std::move(tokens), renumber](const auto&) { return Entry{tokens, renumber, -1}; };
  return TestMethod(std::move(script));
}

}  // namespace claa::test
