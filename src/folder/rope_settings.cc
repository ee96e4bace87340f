#include "folder/rope_settings.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"

namespace claa {
namespace {

struct RopeWriter {
  const Settings& config;
  const Settings& rope;
  const std::string prefix;  // "llama.rope."
  uint64_t rotated;
  double base;
  gguf::Writer& writer;
  std::map<std::string, std::vector<float>>& vectors;

  void add(const char* key, double value) const { writer.add(prefix + key, value); }
  double required(const char* key) const {
    const std::optional<double> value = rope.number(key);
    if (!value || !(*value > 0)) rope.corrupt(key, "a positive number");
    return *value;
  }
  // Where the context was before it was made longer.
  double original() const {
    if (const auto value = rope.number("original_max_position_embeddings")) return *value;
    if (const auto value = config.number("original_max_position_embeddings")) return *value;
    return static_cast<double>(config.required_integer("max_position_embeddings"));
  }

  void linear() const {
    writer.add(prefix + "scaling.type", std::string("linear"));
    add("scaling.factor", required("factor"));
  }

  void yarn() const {
    // Whether bounds of the pairs are rounded is a matter of the architecture.
    const bool whole = prefix != "gpt-oss.rope.";
    if (rope.flag("truncate").value_or(true) != whole)
      rope.unsupported("truncate", fmt::format("this build runs yarn of such models with {} alone", whole));
    const double factor = required("factor");
    writer.add(prefix + "scaling.type", std::string("yarn"));
    add("scaling.factor", factor);
    add("scaling.original_context_length", original());
    for (const char* key : {"beta_fast", "beta_slow"})
      if (const auto value = rope.number(key)) add(fmt::format("scaling.yarn_{}", key).c_str(), *value);
    const double scale = rope.number("mscale").value_or(0), all = rope.number("mscale_all_dim").value_or(0);
    const auto magnitude = [factor](double m) { return factor <= 1 ? 1 : 0.1 * m * std::log(factor) + 1; };
    if (const auto value = rope.number("attention_factor")) {
      add("scaling.attn_factor", *value);
    } else if (scale > 0 && all > 0) {
      add("scaling.attn_factor", magnitude(scale) / magnitude(all));
    }
  }

  // One divisor per pair: long waves turn slower, short ones as before, and those between by a mean.
  void llama3() const {
    const double factor = required("factor"), low = required("low_freq_factor"),
                 high = required("high_freq_factor");
    const double context = original();
    std::vector<float> factors;
    for (uint64_t i = 0; i < rotated / 2; ++i) {
      const double wave =
          2 * std::numbers::pi * std::pow(base, 2 * static_cast<double>(i) / static_cast<double>(rotated));
      double divisor = 1;
      if (wave > context / low) {
        divisor = factor;
      } else if (wave >= context / high) {
        const double smooth = (context / wave - low) / (high - low);
        divisor = 1 / ((1 - smooth) / factor + smooth);
      }
      factors.push_back(static_cast<float>(divisor));
    }
    vectors["rope_freqs.weight"] = factors;
  }

  // Heads turn in part, by frequencies of whole heads.
  void proportional() const {
    if (rope.number("factor").value_or(1) != 1) rope.unsupported("factor", "this build runs 1");
    const double part = rope.number("partial_rotary_factor").value_or(1);
    if (!(part > 0 && part <= 1)) rope.corrupt("partial_rotary_factor", "a number up to 1");
    std::vector<float> factors(rotated / 2, 1e30f);
    const auto turned = static_cast<std::ptrdiff_t>(part * static_cast<double>(rotated) / 2);
    std::fill(factors.begin(), factors.begin() + turned, 1.0f);
    vectors["rope_freqs.weight"] = factors;
  }

  std::vector<float> factors(const char* key) const {
    const std::vector<Json>* listed = rope.list(key);
    if (listed == nullptr || listed->size() != rotated / 2)
      rope.corrupt(key, fmt::format("a list of {} numbers", rotated / 2));
    std::vector<float> values;
    for (const Json& item : *listed) {
      const std::optional<double> value = item.number();
      if (!value || !(*value > 0)) rope.corrupt(key, "a list of positive numbers");
      values.push_back(static_cast<float>(*value));
    }
    return values;
  }

  void longrope() const {
    vectors["rope_factors_short.weight"] = factors("short_factor");
    vectors["rope_factors_long.weight"] = factors("long_factor");
    const double context = original();
    writer.add(prefix + "scaling.original_context_length", static_cast<uint64_t>(context));
    const double factor = static_cast<double>(config.required_integer("max_position_embeddings")) / context;
    const double usual = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(context));
    add("scaling.attn_factor", rope.number("attention_factor").value_or(usual));
  }

  void write() const {
    const std::string type = rope.text("rope_type").value_or(rope.text("type").value_or("default"));
    if (type == "linear") return linear();
    if (type == "yarn") return yarn();
    if (type == "llama3") return llama3();
    if (type == "longrope" || type == "su") return longrope();
    if (type == "proportional") return proportional();
    if (type != "default") {
      rope.unsupported(rope.has("rope_type") ? "rope_type" : "type",
                       "this build runs default, linear, yarn, llama3, longrope and proportional");
    }
  }
};

}  // namespace

void add_rope(const Settings& config, const std::string& architecture, uint64_t rotated, gguf::Writer& writer,
              std::map<std::string, std::vector<float>>& vectors) {
  static const Json kNothing = [] {
    Json object;
    object.kind = Json::Kind::kObject;
    return object;
  }();
  const Settings nothing(kNothing, config.file());
  std::optional<Settings> rope = config.object("rope_parameters");
  std::optional<double> window_base = config.number("rope_local_base_freq");
  // By kind of layer: those with a window turn plainly, by a base that the family may name.
  if (rope && rope->has("full_attention")) {
    if (const auto local = rope->object("sliding_attention")) {
      if (local->text("rope_type").value_or("default") != "default")
        local->unsupported("rope_type", "this build runs windows that turn plainly");
      if (local->number("partial_rotary_factor").value_or(1) != 1)
        local->unsupported("partial_rotary_factor", "this build runs windows that turn whole heads");
      window_base = local->number("rope_theta");
    }
    rope = rope->object("full_attention");
  }
  if (!rope) rope = config.object("rope_scaling");
  const Settings& settings = rope ? *rope : nothing;
  const double base = settings.number("rope_theta").value_or(config.number("rope_theta").value_or(10000));
  writer.add(architecture + ".rope.freq_base", base);
  if (window_base) writer.add(architecture + ".rope.freq_base_swa", *window_base);
  RopeWriter{config, settings, architecture + ".rope.", rotated, base, writer, vectors}.write();
}

}  // namespace claa
