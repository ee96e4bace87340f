// The prompts of a study: a folder of text files, or a JSONL file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "claa/engine.h"
#include "text/document.h"

namespace claa::eval {

struct StudyPrompt {
  std::string id;     // unique
  std::string group;  // results are averaged over a group
  std::string task;   // data set or task family; the group when there is none
  std::string prompt;
  std::string answer_prefix;        // how the answer begins
  std::optional<std::string> gold;  // the right answer, if known
};

// `path`: a folder (every .txt and .md file is one prompt, in order of names), one text file, or a .jsonl
// file whose lines are objects with "prompt" (required), "id", "group", "task", "answer_prefix" and "gold"
// (all strings). What is no regular file, and `read` takes, holds such lines if it begins with {. Throws
// Error naming file, line and field, and what `read` throws.
std::vector<StudyPrompt> read_prompts(const std::string& path, const ReadText& read = read_document);

// A request for the oracle's ranking of a prompt by an answer of at most `answer_tokens` tokens: the model's
// own or, when `use_gold` is set and the prompt has one, the right one.
OracleRequest oracle_request(const StudyPrompt& prompt, bool use_gold, int64_t answer_tokens,
                             const std::atomic<bool>* cancel);

// Throws Error{kUnsupported} for a model with sliding windows: diagnosis and calibration compare every layer.
void check_every_layer_ranks(const ModelSummary& model);

}  // namespace claa::eval
