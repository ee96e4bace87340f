// Code that the subcommands share: options, interruption, and the shape of JSON output.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <boost/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "claa/engine.h"
#include "profile/choice.h"

namespace claa::cli {

struct ModelOptions {
  // Commands that compare configurations choose a profile for each of them.
  ModelOptions() { engine.profile = "none"; }
  std::string path;
  EngineOptions engine;
  void add_to(CLI::App& app, bool required = true);
  // Loads the model; Ctrl-C stops it after the current layer.
  Engine load() const { return load(path); }
  Engine load(const ModelSource& source) const;
};

// Parses name=value texts into a map. Throws Error{kInvalidArgument} for anything else.
ParamValues parse_assignments(const std::vector<std::string>& assignments);
// The parameters of a method with those of a profile, for commands that compare several configurations on one
// engine. `wanted` as in EngineOptions::profile; a named file is refused for a method that takes none.
// Refuses bad parameters before the model file is opened. An empty model path has no profile.
ProfileChoice choose_profile(const std::string& wanted, const std::string& method, const ParamValues& given,
                             const std::string& model_path);
void add_profile_option(CLI::App& app, std::string& profile);

struct MethodOptions {
  std::string method = "full";
  std::string profile = "auto";
  std::string quality;  // fast, balanced or faithful: claa with a profile and settings that were measured
  std::string keep;     // text, so that the method itself judges it
  std::string keep_tokens;
  std::vector<std::string> assignments;  // name=value
  void add_to(CLI::App& app);
  // Rate and assignments.
  ParamValues values() const;
  // Fills quality, method and parameters; refuses bad ones, which needs no model.
  void fill(Request& request) const;
};

struct PromptOptions {
  // What was given, where an empty text differs from none.
  std::optional<std::string> file;  // "-": standard input
  std::optional<std::string> prompt, system, answer_prefix, ids_file, template_kwargs;
  std::optional<std::string> messages_file;  // of a chat, in place of file, prompt and system message
  bool raw = false, system_fallback = false;
  std::vector<std::string> protect;
  void add_to(CLI::App& app);
  // The text of a request: document, blank line, prompt. The document is the file, else what is piped to
  // standard input, unless the prompt is given and empty.
  void fill(Request& request) const;

 private:
  std::string document() const;
  // Refuses what is given beside an option that gives the whole prompt; `template_too`: for the template,
  // too.
  void refuse_beside(const char* option, bool template_too) const;
  void fill_ids(Request& request) const;
  void fill_messages(Request& request) const;
  void fill_kwargs(Request& request) const;
};

// Set by Ctrl-C; a second Ctrl-C ends the process at once.
const std::atomic<bool>& interrupt_flag();
void install_interrupt_handler();

boost::json::object summary_json(const PrefillSummary& summary);
boost::json::object timings_json(const Timings& timings);
// Says on stderr that the answer ended because the model's context did, where it was for that.
void note_context_end(const Answer& answer, int64_t max_tokens, int64_t context);
// Says on stderr that a study goes on without this prompt, and why.
void leave_out(const std::string& id, const Error& error);
// Timings are shown to a microsecond; more digits are noise.
double rounded(double milliseconds);

// Thrown by a command that did its work and still must not exit with 0: a quality gate that was missed. What
// there is to say has been said.
struct ExitStatus {
  int status;
};

// Subcommands: each adds itself and its options; the callback runs it.
void add_run(CLI::App& app);
void add_bench(CLI::App& app);
void add_trace(CLI::App& app);
void add_oracle(CLI::App& app);
void add_diagnose(CLI::App& app);
void add_eval(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_inspect(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_methods(CLI::App& app);

}  // namespace claa::cli
