// Helpers that the tests of plots and reports share.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "claa/error.h"
#include "eval/diagnosis/diagnosis.h"

namespace claa::eval {

// A folder that is removed with the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "claa_eval_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no scratch folder");
    path_ = name;
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Sets another PATH while it lives.
class PathVariable {
 public:
  explicit PathVariable(const std::string& value) : old_(::getenv("PATH")) {
    ::setenv("PATH", value.c_str(), 1);
  }
  ~PathVariable() { ::setenv("PATH", old_.c_str(), 1); }
  PathVariable(const PathVariable&) = delete;
  PathVariable& operator=(const PathVariable&) = delete;

 private:
  std::string old_;
};

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path << " is not there";
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void expect_error(ErrorCode code, const std::string& part, const std::function<void()>& function) {
  try {
    function();
    ADD_FAILURE() << "nothing was thrown; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

// Width and height stated in a PNG file; 0, 0 when it is none.
inline std::pair<unsigned, unsigned> png_size(const std::string& png) {
  if (png.size() < 24 || png.compare(1, 3, "PNG") != 0) return {0, 0};
  const auto number = [&](size_t at) {
    unsigned value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(png[at + i]);
    return value;
  };
  return {number(16), number(20)};
}

// `count` prompts in two groups and three tasks, six layers, three heuristics: curves whose means are known.
inline std::vector<PromptDiagnosis> example_prompts(int count) {
  std::vector<PromptDiagnosis> prompts;
  for (int i = 0; i < count; ++i) {
    PromptDiagnosis prompt;
    prompt.id = "p" + std::to_string(i);
    prompt.group = i % 2 == 0 ? "even" : "odd";
    prompt.task = "task" + std::to_string(i % 3);
    prompt.tokens = 100 + i;
    prompt.answer_tokens = 5;
    prompt.answer = "answer " + std::to_string(i);
    prompt.fixed_layer = 3;
    prompt.oracle_positions = {.1, .5, .9};
    HeuristicCurve fastkv{"fastkv", false, {}, {}, {NAN}, 5, {.1, .5, .9}};
    HeuristicCurve sum{"sum", false, {NAN}, {NAN}, {NAN, NAN}, 4, {.2, .3, .4}};
    HeuristicCurve spec{"specprefill", true, {}, {}, {NAN}, -1, {}};
    for (int layer = 0; layer < 6; ++layer) {
      fastkv.spearman.push_back(.1 * layer + .01 * i);
      fastkv.jaccard.push_back(.05 * layer);
      if (layer > 0) fastkv.stability.push_back(.9);
      if (layer > 0) sum.spearman.push_back(.5);
      if (layer > 0) sum.jaccard.push_back(.25);
      if (layer > 1) sum.stability.push_back(.995);
      spec.spearman.push_back(.4);
      spec.jaccard.push_back(.2);
      if (layer > 0) spec.stability.push_back(1);
      prompt.head_recall.push_back({.1 * layer, .2, i == 0 ? NAN : .3});
    }
    prompt.heuristics = {fastkv, sum, spec};
    prompts.push_back(prompt);
  }
  return prompts;
}

}  // namespace claa::eval
