#include "folder/pipeline.h"

#include "core/check.h"
#include "text/visible.h"

namespace claa {
namespace {

constexpr const char* kSpaceMark = "\xe2\x96\x81";  // U+2581
constexpr const char* kConvert = "this build does not do that; convert the model to GGUF";
// What ByteLevel cuts by, unless it is told not to: the expression of GPT-2.
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class PipelineReader {
 public:
  PipelineReader(const Settings& root, const Settings& model) : root_(root), model_(model) {}

  Pipeline read() {
    read_model();
    if (const auto normalizer = root_.object("normalizer")) normalize(*normalizer);
    if (const auto pre = root_.object("pre_tokenizer")) cut(*pre);
    if (!byte_level() && !marks_spaces_) {
      root_.unsupported("pre_tokenizer",
                        "this build runs byte-level tokenizers, and those that write spaces as U+2581");
    }
    if (byte_level() && marks_spaces_) root_.unsupported("normalizer", kConvert);
    if (!byte_level() && !pipeline_.expressions.empty()) root_.unsupported("pre_tokenizer", kConvert);
    return pipeline_;
  }

 private:
  bool byte_level() const { return pipeline_.byte_level; }

  void read_model() {
    // Old files name no type, and are of BPE where they have merges.
    const std::string type = model_.text("type").value_or(model_.has("merges") ? "BPE" : "");
    if (type != "BPE") model_.unsupported("type", "this build runs BPE; convert the model to GGUF");
    if (model_.number("dropout").value_or(0) != 0) model_.unsupported("dropout", kConvert);
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!model_.text(key).value_or("").empty()) model_.unsupported(key, kConvert);
    pipeline_.ignore_merges = model_.flag("ignore_merges").value_or(false);
    pipeline_.byte_fallback = model_.flag("byte_fallback").value_or(false);
    pipeline_.fuse_unknown = model_.flag("fuse_unk").value_or(false);
    pipeline_.unknown = model_.text("unk_token").value_or("");
  }

  std::string type_of(const Settings& step) const { return step.text("type").value_or(""); }

  template <class Each>
  void each(const Settings& step, const char* key, Each call) {
    const std::vector<Json>* parts = step.list(key);
    if (parts == nullptr) step.corrupt(key, "a list");
    for (const Json& part : *parts) {
      if (!part.is(Json::Kind::kObject)) step.corrupt(key, "a list of objects");
      call(Settings(part, root_.file(), std::string(key) + ": "));
    }
  }

  void normalize(const Settings& step) {
    const std::string type = type_of(step);
    if (type == "Sequence") return each(step, "normalizers", [this](const Settings& s) { normalize(s); });
    if (type == "NFC" && !marks_spaces_) {
      pipeline_.nfc = true;
      return;
    }
    if (type == "Prepend" && !marks_spaces_ && step.text("prepend") == kSpaceMark) {
      pipeline_.space_prefix = "always";
      return;
    }
    if (type == "Replace") {
      const auto pattern = step.object("pattern");
      if (pattern && pattern->text("String") == " " && step.text("content") == kSpaceMark) {
        marks_spaces_ = true;
        return;
      }
    }
    step.unsupported(
        "type",
        "this build runs the normalisers NFC, and Prepend and Replace of spaces by U+2581; convert "
        "the model to GGUF");
  }

  void cut(const Settings& step) {
    const std::string type = type_of(step);
    if (type == "Sequence") return each(step, "pretokenizers", [this](const Settings& s) { cut(s); });
    if (byte_level()) step.unsupported("type", "this build runs ByteLevel as the last step");
    if (type == "Split") return split(step);
    if (type == "Digits") {
      pipeline_.expressions.push_back(step.flag("individual_digits").value_or(false) ? R"(\p{N})"
                                                                                     : R"(\p{N}+)");
      return;
    }
    if (type == "ByteLevel") {
      if (step.flag("add_prefix_space").value_or(true)) step.unsupported("add_prefix_space", kConvert);
      if (step.flag("use_regex").value_or(true)) pipeline_.expressions.emplace_back(kGpt2);
      pipeline_.byte_level = true;
      return;
    }
    if (type == "Metaspace") return metaspace(step);
    step.unsupported("type",
                     "this build runs the pre-tokenizers Split, Digits, ByteLevel and Metaspace; convert the "
                     "model to GGUF");
  }

  void split(const Settings& step) {
    const auto pattern = step.object("pattern");
    if (!pattern) step.corrupt("pattern", "an object");
    const std::optional<std::string> text = pattern->text("String"), regex = pattern->text("Regex");
    // Gemma cuts at spaces, of which its normaliser leaves none.
    if (text == " " && marks_spaces_) return;
    const std::string behavior = step.text("behavior").value_or("");
    const bool invert = step.flag("invert").value_or(false);
    const bool isolated = behavior == "Isolated" && !invert;
    const bool matches = behavior == "Removed" && invert;  // for expressions that leave no gap
    if (!regex || (!isolated && !matches)) {
      step.unsupported("behavior",
                       "this build runs Split with expressions whose matches are isolated; convert the "
                       "model to GGUF");
    }
    pipeline_.expressions.push_back(*regex);
  }

  void metaspace(const Settings& step) {
    if (step.text("replacement").value_or(kSpaceMark) != kSpaceMark)
      step.unsupported("replacement", kConvert);
    const bool old_prefix = step.flag("add_prefix_space").value_or(true);
    const std::string scheme = step.text("prepend_scheme").value_or(old_prefix ? "always" : "never");
    if (scheme != "first" && scheme != "always" && scheme != "never")
      step.unsupported("prepend_scheme", kConvert);
    pipeline_.space_prefix = scheme;
    pipeline_.cut_at_spaces = step.flag("split").value_or(true);
    // It puts a space only where there is none yet, which a normaliser's Prepend does not look for.
    pipeline_.space_prefix += scheme == "never" ? "" : " unless there";
    marks_spaces_ = true;
  }

  const Settings& root_;
  const Settings& model_;
  Pipeline pipeline_;
  bool marks_spaces_ = false;
};

}  // namespace

Pipeline read_pipeline(const Settings& root, const Settings& model) {
  return PipelineReader(root, model).read();
}

void write_pipeline(const Pipeline& pipeline, gguf::Writer& writer) {
  writer.add("tokenizer.json.nfc", pipeline.nfc);
  writer.add("tokenizer.json.expressions", pipeline.expressions);
  writer.add("tokenizer.json.ignore_merges", pipeline.ignore_merges);
  if (pipeline.byte_level) return;
  writer.add("tokenizer.json.space_prefix", pipeline.space_prefix);
  writer.add("tokenizer.json.cut_at_spaces", pipeline.cut_at_spaces);
  writer.add("tokenizer.json.byte_fallback", pipeline.byte_fallback);
  writer.add("tokenizer.json.fuse_unknown", pipeline.fuse_unknown);
  writer.add("tokenizer.json.unknown", pipeline.unknown);
}

}  // namespace claa
