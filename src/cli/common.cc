#include "cli/common.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>

#include "claa/registry.h"
#include "cli/input.h"
#include "cli/terminal.h"
#include "core/check.h"
#include "core/counts.h"
#include "folder/folder.h"
#include "gguf/file.h"

namespace claa::cli {

void ModelOptions::add_to(CLI::App& app, bool required) {
  app.add_option("-m,--model", path, "GGUF file, or folder of transformers")->required(required);
  app.add_option("--device", engine.device,
                 "auto (a GPU if there is one), cpu, cuda, or reference (slow, for tests)")
      ->capture_default_str();
  app.add_option("--dtype", engine.dtype, "auto, f32, bf16, int8 (cpu) or fp8 (cuda)")->capture_default_str();
  app.add_option(
         "--weights", engine.weights,
         "resident (they stay the file's blocks, mapped on a CPU and copied to a GPU), widened, or auto "
         "(resident on a GPU but for fp8, and on a CPU with f32, which changes no bit)")
      ->capture_default_str();
  app.add_option("-t,--threads", engine.threads, "threads; 0: physical cores")->capture_default_str();
  app.add_option("--draft", engine.draft,
                 "file or folder of a smaller model that drafts for specprefill; a shape in `bench --shape`");
  app.add_option("--isa", engine.isa, "cap on the instruction set: avx2 or avx512 (or, for tests, avx2bf16)");
}

namespace {

// As the XDG base directory specification says: relative paths are ignored.
std::string cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/claa";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::string(home) + "/.cache/claa";
  return "";
}

// A named file is for methods that take one; "auto" and "none" are for all.
void check_takes_profile(const std::string& wanted, const std::string& method) {
  if (wanted == "auto" || wanted == "none" || takes_profile(builtin_methods().find(method))) return;
  fail(ErrorCode::kInvalidArgument, "method {} takes no profile; leave out --profile or use --method claa",
       method);
}

}  // namespace

Engine ModelOptions::load(const ModelSource& source) const {
  EngineOptions options = engine;
  options.cache_folder = cache_folder();
  options.on_load = [this](int64_t done, int64_t layers) {
    if (interrupt_flag()) throw Error(ErrorCode::kCancelled, "interrupted");
    if (engine.on_load) engine.on_load(done, layers);
  };
  Engine loaded = Engine::load(source, options);
  for (const std::string& warning : loaded.model().warnings) tell("warning: " + warning);
  return loaded;
}

ProfileChoice choose_profile(const std::string& wanted, const std::string& method, const ParamValues& given,
                             const std::string& model_path) {
  builtin_methods().create(method, given);
  check_takes_profile(wanted, method);
  const auto fingerprint = [&] { return gguf::weights_fingerprint(open_model(model_path)); };
  return ProfileFinder(wanted, model_path, fingerprint).choose("", builtin_methods().find(method), given);
}

ParamValues parse_assignments(const std::vector<std::string>& assignments) {
  ParamValues values;
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == 0 || equals == std::string::npos) {
      fail(ErrorCode::kInvalidArgument, "--set takes name=value, not '{}'", assignment);
    }
    values[assignment.substr(0, equals)] = assignment.substr(equals + 1);
  }
  return values;
}

void MethodOptions::add_to(CLI::App& app) {
  CLI::Option* by_name =
      app.add_option("--method", method, "how prompt tokens are chosen; see 'claa methods'")
          ->capture_default_str();
  CLI::Option* rate = app.add_option("--keep", keep, "rate of prompt tokens to keep, above 0 and at most 1");
  CLI::Option* count = app.add_option("--keep-tokens", keep_tokens, "tokens to keep, instead of a rate");
  app.add_option("--quality", quality,
                 "claa with the model's profile: faithful keeps 40 % of the tokens, balanced as many as "
                 "the scores ask for, 10 to 50 %; fast keeps 20 % and drops a part of the others early")
      ->check(CLI::IsMember({"fast", "balanced", "faithful"}))
      ->excludes(by_name)
      ->excludes(rate)
      ->excludes(count);
  app.add_option("--set", assignments, "a parameter of the method, name=value; may be repeated")
      ->allow_extra_args(false);
  add_profile_option(app, profile);
}

ParamValues MethodOptions::values() const {
  ParamValues values;
  if (!keep.empty()) values["keep"] = keep;
  if (!keep_tokens.empty()) values["keep_tokens"] = keep_tokens;
  for (auto& [name, value] : parse_assignments(assignments)) values[name] = value;
  return values;
}

void MethodOptions::fill(Request& request) const {
  request.quality = quality;
  request.method = quality.empty() ? method : "claa";
  request.params = values();
  ParamValues checked = request.params;
  checked.merge(quality_params(quality));
  builtin_methods().create(request.method, checked);
  check_takes_profile(profile, request.method);
}

void add_profile_option(CLI::App& app, std::string& profile) {
  app.add_option("--profile", profile,
                 "what claa chooses by: a file of 'claa calibrate'; auto: MODEL.profile.json next to the "
                 "model, or a bundled one; or none")
      ->capture_default_str();
}

void PromptOptions::add_to(CLI::App& app) {
  app.add_option("-f,--file", file,
                 "a document to put before the prompt; without it, what is piped to standard input (-)");
  app.add_option("prompt", prompt, "the question or instruction");
  app.add_option("--answer-prefix", answer_prefix, "how the answer begins; it is not repeated");
  app.add_option("--system", system,
                 "a system message; an empty one switches off what the chat template writes of its own");
  app.add_flag("--system-fallback", system_fallback,
               "where the chat template has no place for a system message, put it before the prompt");
  app.add_option(
      "--messages", messages_file,
      "a chat in place of document, prompt and system message: a JSON file in the form of OpenAI's "
      "API, {\"messages\": [...], \"tools\": [...]}");
  app.add_option("--chat-template-kwargs", template_kwargs,
                 "further variables of the chat template, as a JSON object or @FILE: enable_thinking, "
                 "reasoning_effort, tools");
  app.add_option("--ids", ids_file, "a file of token ids instead of text");
  app.add_flag("--raw", raw, "no chat template: the text as it is");
  app.add_option("--protect", protect,
                 "a text of the prompt that is never dropped, wherever it stands; may be repeated")
      ->allow_extra_args(false);
}

std::string PromptOptions::document() const {
  if (file) {
    std::string text = read_text(*file);
    if (text.empty())
      fail(ErrorCode::kInvalidArgument, "the document '{}' is empty; give a text, or leave out -f", *file);
    if (!is_standard_input(*file)) note_unread_input("-f gives the document");
    return text;
  }
  return !(prompt && prompt->empty()) && input_is_piped() ? read_text("-") : "";
}

void PromptOptions::refuse_beside(const char* option, bool template_too) const {
  const auto refuse = [option](bool given, const char* what) {
    if (given)
      fail(ErrorCode::kInvalidArgument, "{0} gives the whole prompt; leave out {1}, or {0}", option, what);
  };
  refuse(prompt.has_value(), "the prompt");
  refuse(file.has_value(), "--file");
  refuse(system.has_value(), "--system");
  if (!template_too) return;
  refuse(answer_prefix.has_value(), "--answer-prefix");
  refuse(template_kwargs.has_value(), "--chat-template-kwargs");
  refuse(messages_file.has_value(), "--messages");
}

void PromptOptions::fill_ids(Request& request) const {
  refuse_beside("--ids", true);
  request.ids = parse_ids(read_text(*ids_file), *ids_file);
  if (request.ids.empty())
    fail(ErrorCode::kInvalidArgument, "'{}' holds no token ids; give whole numbers", *ids_file);
  if (!is_standard_input(*ids_file)) note_unread_input("--ids gives the whole prompt");
}

void PromptOptions::fill_messages(Request& request) const {
  refuse_beside("--messages", false);
  if (raw) fail(ErrorCode::kInvalidArgument, "--messages needs the chat template; leave out --raw");
  const std::string name = is_standard_input(*messages_file) ? "standard input" : "'" + *messages_file + "'";
  Chat chat = parse_chat(read_exact_text(*messages_file), name);
  request.messages = std::move(chat.messages);
  request.tools = std::move(chat.tools);
  if (!is_standard_input(*messages_file)) note_unread_input("--messages gives the whole prompt");
}

void PromptOptions::fill_kwargs(Request& request) const {
  if (!template_kwargs) return;
  const bool from_file = template_kwargs->starts_with('@');
  request.chat_template_kwargs = from_file ? read_text(template_kwargs->substr(1)) : *template_kwargs;
  // An empty text is none in a request, and no object.
  if (request.chat_template_kwargs.empty())
    fail(ErrorCode::kInvalidArgument, "--chat-template-kwargs is empty; give a JSON object, or leave it out");
}

void PromptOptions::fill(Request& request) const {
  request.raw = raw;
  request.protect.texts = protect;
  if (system_fallback && !system && !messages_file)
    fail(ErrorCode::kInvalidArgument, "--system-fallback needs --system or --messages");
  if (ids_file) return fill_ids(request);
  request.system_fallback = system_fallback;
  request.answer_prefix = answer_prefix.value_or("");
  fill_kwargs(request);
  if (messages_file) return fill_messages(request);
  request.system = system;
  request.prompt = document();
  const std::string question = prompt.value_or("");
  if (!request.prompt.empty() && !question.empty()) request.prompt += "\n\n";
  request.prompt += question;
}

namespace {

std::atomic<bool> interrupted{false};

extern "C" void on_interrupt(int /*signal*/) {
  if (interrupted.exchange(true)) _exit(130);
}

}  // namespace

const std::atomic<bool>& interrupt_flag() {
  return interrupted;
}

// The handler has its own stack: oneDNN's generated matrix kernels point the stack register at a heap buffer
// while they run, and what the system pushes there for a signal overwrites the heap before the buffer.
void install_interrupt_handler() {
  static std::array<std::byte, size_t{1} << 16> memory;  // the registers of AVX-512 and AMX take 11 KiB
  stack_t stack{};
  stack.ss_sp = memory.data();
  stack.ss_size = memory.size();
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGINT, &action, nullptr);
}

double rounded(double milliseconds) {
  return std::round(milliseconds * 1000) / 1000;
}

void note_context_end(const Answer& answer, int64_t max_tokens, int64_t context) {
  const auto tokens = static_cast<int64_t>(answer.tokens.size());
  if (answer.finish != FinishReason::kLength || tokens >= max_tokens) return;
  tell(fmt::format(
      "note: the answer ended after {} tokens because the model's context of {} is full; shorten the prompt",
      group_digits(tokens), group_digits(context)));
}

void leave_out(const std::string& id, const Error& error) {
  tell_line("");  // after the line of progress
  tell_line(fmt::format("left out '{}': {}", id, error.what()));
}

boost::json::object summary_json(const PrefillSummary& summary) {
  boost::json::object json;
  json["method"] = summary.method;
  boost::json::object params;
  for (const auto& [name, value] : summary.params) {
    params[name] = value;
    if (name == "keep") json["keep"] = std::stod(value);
  }
  if (!json.contains("keep")) json["keep"] = 1.0;
  json["quality"] = summary.quality;
  json["active"] = summary.active;
  json["reason"] = summary.reason;
  json["selection_layer"] = nullptr;
  if (summary.selection_layer) json["selection_layer"] = *summary.selection_layer;
  json["params"] = std::move(params);
  json["confidence"] = nullptr;
  if (summary.signals) json["confidence"] = summary.signals->confidence;
  json["note"] = summary.note;
  json["protected_tokens"] = summary.protected_tokens;
  return json;
}

boost::json::object timings_json(const Timings& timings) {
  boost::json::object json;
  json["load"] = rounded(timings.load);
  json["tokenize"] = rounded(timings.tokenize);
  json["prefill"] = rounded(timings.prefill);
  json["entry"] = rounded(timings.entry);
  json["select"] = rounded(timings.select);
  json["first_token"] = rounded(timings.first_token);
  json["decode"] = rounded(timings.decode);
  return json;
}

}  // namespace claa::cli
