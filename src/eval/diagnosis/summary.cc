#include "eval/diagnosis/summary.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/check.h"
#include "core/usize.h"

namespace claa::eval {
namespace {

// Prompts and densities. A density costs a thousand exponentials per position, so each is computed once.
struct Densities {
  std::vector<double> oracle;               // empty without positions
  std::vector<std::vector<double>> curves;  // one per heuristic
};

struct Measured {
  const PromptDiagnosis* prompt;
  const Densities* densities;
};

void check_curve(const PromptDiagnosis& prompt, const HeuristicCurve& curve, size_t layers) {
  for (const std::vector<double>* values : {&curve.spearman, &curve.jaccard, &curve.stability}) {
    if (!values->empty() && values->size() != layers) {
      fail(ErrorCode::kInvalidArgument,
           "prompt '{}' has {} layers for '{}' where others have {}: a report compares prompts of one model",
           prompt.id, values->size(), curve.name, layers);
    }
  }
}

void check_prompt(const PromptDiagnosis& prompt, size_t layers, size_t heads) {
  std::set<std::string> names;
  for (const HeuristicCurve& curve : prompt.heuristics) {
    if (!names.insert(curve.name).second) {
      fail(ErrorCode::kInvalidArgument, "prompt '{}' has the heuristic '{}' twice", prompt.id, curve.name);
    }
    check_curve(prompt, curve, layers);
  }
  if (!prompt.head_recall.empty() && prompt.head_recall.size() != layers) {
    fail(ErrorCode::kInvalidArgument, "prompt '{}' has head recalls of {} layers where its curves have {}",
         prompt.id, prompt.head_recall.size(), layers);
  }
  for (const std::vector<double>& layer : prompt.head_recall) {
    if (layer.size() != heads) {
      fail(ErrorCode::kInvalidArgument, "prompt '{}' has recalls of {} heads where others have {}", prompt.id,
           layer.size(), heads);
    }
  }
}

size_t layers_of(const std::vector<PromptDiagnosis>& prompts) {
  for (const PromptDiagnosis& prompt : prompts) {
    for (const HeuristicCurve& curve : prompt.heuristics) {
      if (!curve.spearman.empty()) return curve.spearman.size();
    }
  }
  fail(ErrorCode::kInvalidArgument, "there is nothing to report: no prompt has a heuristic with layers");
}

size_t heads_of(const std::vector<PromptDiagnosis>& prompts) {
  for (const PromptDiagnosis& prompt : prompts) {
    if (!prompt.head_recall.empty()) return prompt.head_recall[0].size();
  }
  return 0;
}

void check_prompts(const std::vector<PromptDiagnosis>& prompts, size_t layers) {
  const size_t heads = heads_of(prompts);
  std::set<std::string> ids;
  for (const PromptDiagnosis& prompt : prompts) {
    if (!ids.insert(prompt.id).second) {
      fail(ErrorCode::kInvalidArgument, "two prompts have the id '{}'", prompt.id);
    }
    check_prompt(prompt, layers, heads);
  }
}

void add_new(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

double value_at(const std::vector<double>& values, int layer) {
  return layer >= 0 && usize(layer) < values.size() ? values[usize(layer)] : kNaN;
}

Densities densities_of(const PromptDiagnosis& prompt) {
  Densities result;
  if (!prompt.oracle_positions.empty()) result.oracle = kernel_density(prompt.oracle_positions);
  for (const HeuristicCurve& curve : prompt.heuristics) {
    result.curves.push_back(curve.positions.empty() ? std::vector<double>()
                                                    : kernel_density(curve.positions));
  }
  return result;
}

// The sum of densities from which their mean is taken.
struct DensityMean {
  std::vector<double> sum = std::vector<double>(kDensityPoints, 0);
  int64_t n = 0;

  void add(const std::vector<double>& density) {
    if (density.empty()) return;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += density[i];
    ++n;
  }
  std::vector<double> mean() const {
    if (n == 0) return {};
    std::vector<double> result = sum;
    for (double& value : result) value /= static_cast<double>(n);
    return result;
  }
};

// One heuristic's curves over the prompts of a group, gathered before their moments are taken.
class Gathered {
 public:
  explicit Gathered(size_t layers) : spearman_(layers), jaccard_(layers), stability_(layers) {}

  void add(const PromptDiagnosis& prompt, const HeuristicCurve& curve, const Densities& densities,
           const std::vector<double>& density) {
    horizontal_ = curve.horizontal;
    any_ = true;
    add_layers(spearman_, curve.spearman);
    add_layers(jaccard_, curve.jaccard);
    add_layers(stability_, curve.stability);
    if (curve.exit_layer >= 0) {
      const double at_exit = value_at(curve.spearman, curve.exit_layer);
      const double at_fixed = value_at(curve.spearman, prompt.fixed_layer);
      exit_layer_.push_back(curve.exit_layer);
      at_exit_.push_back(at_exit);
      at_fixed_.push_back(at_fixed);
      gain_.push_back(at_exit - at_fixed);
    }
    if (!density.empty() && !densities.oracle.empty()) {
      density_.add(density);
      oracle_.add(densities.oracle);
      made_.push_back(mean_absolute_difference(density, densities.oracle));
    }
  }

  bool any() const { return any_; }

  HeuristicSummary summary(const std::string& name) const {
    HeuristicSummary result;
    result.name = name;
    result.horizontal = horizontal_;
    result.spearman = layer_moments(spearman_);
    result.jaccard = layer_moments(jaccard_);
    result.stability = layer_moments(stability_);
    result.exit_layer = moments(exit_layer_);
    result.spearman_at_exit = moments(at_exit_);
    result.spearman_at_fixed = moments(at_fixed_);
    result.exit_gain = moments(gain_);
    result.density = density_.mean();
    result.made = moments(made_);
    result.made_of_mean =
        result.density.empty() ? kNaN : mean_absolute_difference(result.density, oracle_.mean());
    return result;
  }

 private:
  using Layers = std::vector<std::vector<double>>;  // [layers][prompts]

  static void add_layers(Layers& layers, const std::vector<double>& values) {
    for (size_t i = 0; i < values.size(); ++i) layers[i].push_back(values[i]);
  }
  static std::vector<Moments> layer_moments(const Layers& layers) {
    std::vector<Moments> result;
    for (const std::vector<double>& values : layers) result.push_back(moments(values));
    return result;
  }

  bool horizontal_ = false, any_ = false;
  Layers spearman_, jaccard_, stability_;
  std::vector<double> exit_layer_, at_exit_, at_fixed_, gain_, made_;
  DensityMean density_, oracle_;  // densities of the same prompts
};

GroupSummary summarize_group(const std::string& name, const std::vector<Measured>& members,
                             const Summary& summary) {
  GroupSummary group;
  group.name = name;
  group.prompts = static_cast<int64_t>(members.size());
  DensityMean oracle;
  for (const Measured& member : members) oracle.add(member.densities->oracle);
  group.oracle_density = oracle.mean();
  for (const std::string& heuristic : summary.heuristics) {
    Gathered gathered(summary.layers);
    for (const Measured& member : members) {
      const std::vector<HeuristicCurve>& curves = member.prompt->heuristics;
      for (size_t i = 0; i < curves.size(); ++i) {
        if (curves[i].name == heuristic) {
          gathered.add(*member.prompt, curves[i], *member.densities, member.densities->curves[i]);
        }
      }
    }
    if (gathered.any()) group.heuristics.push_back(gathered.summary(heuristic));
  }
  return group;
}

// One summary for every value of the member `key`, in the order of first appearance.
std::vector<GroupSummary> summarize_by(std::string PromptDiagnosis::*key, const std::vector<Measured>& all,
                                       const Summary& summary) {
  std::vector<std::string> names;
  for (const Measured& one : all) add_new(names, one.prompt->*key);
  std::vector<GroupSummary> result;
  for (const std::string& name : names) {
    std::vector<Measured> members;
    std::copy_if(all.begin(), all.end(), std::back_inserter(members),
                 [&](const Measured& one) { return one.prompt->*key == name; });
    result.push_back(summarize_group(name, members, summary));
  }
  return result;
}

std::vector<std::vector<double>> mean_recall(const std::vector<PromptDiagnosis>& prompts, size_t layers) {
  const size_t heads = heads_of(prompts);
  std::vector<std::vector<double>> result;
  if (heads == 0) return result;
  for (size_t layer = 0; layer < layers; ++layer) {
    std::vector<double> row;
    for (size_t head = 0; head < heads; ++head) {
      std::vector<double> values;
      for (const PromptDiagnosis& prompt : prompts) {
        if (!prompt.head_recall.empty()) values.push_back(prompt.head_recall[layer][head]);
      }
      row.push_back(moments(values).mean);
    }
    result.push_back(std::move(row));
  }
  return result;
}

}  // namespace

Summary summarize(const std::vector<PromptDiagnosis>& prompts) {
  if (prompts.empty()) {
    fail(ErrorCode::kInvalidArgument, "there is nothing to report: no prompt was diagnosed");
  }
  Summary summary;
  summary.layers = layers_of(prompts);
  check_prompts(prompts, summary.layers);
  std::vector<Densities> densities;
  densities.reserve(prompts.size());  // because pointers into it are kept
  std::vector<Measured> all;
  for (const PromptDiagnosis& prompt : prompts) {
    for (const HeuristicCurve& curve : prompt.heuristics) add_new(summary.heuristics, curve.name);
    densities.push_back(densities_of(prompt));
    all.push_back({&prompt, &densities.back()});
  }
  summary.groups = summarize_by(&PromptDiagnosis::group, all, summary);
  summary.tasks = summarize_by(&PromptDiagnosis::task, all, summary);
  summary.overall = summarize_group("all prompts", all, summary);
  summary.head_recall = mean_recall(prompts, summary.layers);
  return summary;
}

double mean_over_layers(const std::vector<double>& values) {
  return moments(values).mean;
}

std::vector<double> means(const std::vector<Moments>& moments) {
  std::vector<double> result;
  result.reserve(moments.size());
  for (const Moments& one : moments) result.push_back(one.mean);
  return result;
}

}  // namespace claa::eval
