// claa tokenize: the ids of a prompt, as run would compute them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iostream>

#include "cli/common.h"
#include "gguf/file.h"
#include "tokenizer/tokenizer.h"

namespace claa::cli {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string text;
  std::string file;
  bool ids = false;
  bool count = false;
};

void run(const TokenizeOptions& options) {
  const gguf::File file = gguf::File::open(options.model);
  const Tokenizer tokenizer(read_tokenizer_data(file));
  const std::string text = !options.file.empty()  ? read_text(options.file)
                           : options.text.empty() ? read_text("-")
                                                  : options.text;
  const std::vector<int32_t> ids = tokenizer.encode(text);
  if (options.count) {
    std::cout << ids.size() << "\n";
  } else if (options.ids) {
    std::cout << fmt::format("[{}]\n", fmt::join(ids, ", "));
  } else {
    for (const int32_t id : ids) {
      std::cout << fmt::format(
          "{:>7}  {}\n", id,
          boost::json::serialize(boost::json::string(replace_invalid_utf8(tokenizer.token_bytes(id)))));
    }
  }
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "the token ids of a text, without template");
  command->add_option("-m,--model", options->model, "GGUF model file")->required();
  command->add_option("text", options->text, "the text; standard input when left out");
  command->add_option("-f,--file", options->file, "read the text from a file");
  command->add_flag("--ids", options->ids, "print the ids alone, in one line");
  command->add_flag("--count", options->count, "print only their number");
  command->callback([options] { run(*options); });
}

}  // namespace claa::cli
