// claa tokenize: the ids of a prompt, as run would compute them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>

#include "cli/common.h"
#include "cli/input.h"
#include "cli/terminal.h"
#include "core/check.h"
#include "engine/markers.h"
#include "folder/folder.h"
#include "gguf/file.h"
#include "output/json.h"
#include "tokenizer/tokenizer.h"

namespace claa::cli {
namespace {

struct TokenizeOptions {
  std::string model;
  std::optional<std::string> text, file;
  bool ids = false;
  bool count = false;
};

// Only a text that is missing, and not one that is empty, is taken from standard input.
std::string text_of(const TokenizeOptions& options) {
  if (options.text && options.file)
    fail(ErrorCode::kInvalidArgument, "give either a text or --file, not both");
  if (options.text) note_unread_input("a text is given");
  if (options.file && !is_standard_input(*options.file)) note_unread_input("--file gives the text");
  return options.text ? *options.text : read_text(options.file.value_or("-"));
}

void run(const TokenizeOptions& options) {
  const gguf::File file = open_model(options.model);
  TokenizerData data = read_tokenizer_data(file);
  std::vector<std::string> warnings;
  adopt_markers(data, warnings);
  for (const std::string& warning : warnings) tell("warning: " + warning);
  const Tokenizer tokenizer(std::move(data));
  const std::string text = text_of(options);
  const std::vector<int32_t> ids = tokenizer.encode(text);
  if (options.count) {
    write_text(fmt::format("{}\n", ids.size()));
  } else if (options.ids) {
    write_text(fmt::format("[{}]\n", fmt::join(ids, ", ")));
  } else {
    std::string lines;
    for (const int32_t id : ids)
      lines += fmt::format("{:>7}  {}\n", id, json_text(boost::json::string(tokenizer.token_bytes(id))));
    write_text(lines);
  }
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "the token ids of a text, without template");
  command->add_option("-m,--model", options->model, "GGUF file, or folder of transformers")->required();
  command->add_option("text", options->text, "the text; standard input when left out");
  command->add_option("-f,--file", options->file, "read the text from a file");
  CLI::Option* ids = command->add_flag("--ids", options->ids, "print the ids alone, in one line");
  command->add_flag("--count", options->count, "print only their number")->excludes(ids);
  command->callback([options] { run(*options); });
}

}  // namespace claa::cli
