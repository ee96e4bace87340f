#include "eval/calibration/head_selection.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <thread>
#include <tuple>

#include "core/cancel.h"
#include "core/check.h"
#include "core/cpu_count.h"
#include "core/usize.h"

namespace claa::eval {
namespace {

// Recall of one prompt. It is computed very often, so it allocates nothing per call.
class RecallCounter {
 public:
  double operator()(std::span<const float> scores, std::span<const int32_t> wanted, int64_t budget) {
    const auto count = usize(budget);
    if (count >= scores.size()) return 1;
    if (count == 0 || wanted.empty()) return 0;
    order_.assign(scores.begin(), scores.end());
    std::nth_element(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(count) - 1, order_.end(),
                     std::greater<>());
    const float least = order_[count - 1];
    size_t found = 0, tied_wanted = 0;
    for (const int32_t t : wanted) {
      const float score = scores[usize(t)];
      found += score > least ? 1 : 0;
      tied_wanted += score == least ? 1 : 0;
    }
    if (tied_wanted > 0) found += tied(scores, wanted, count, least);
    return static_cast<double>(found) / static_cast<double>(wanted.size());
  }

 private:
  // Wanted tokens among the scores equal to the least that is kept; the lower index comes first.
  static size_t tied(std::span<const float> scores, std::span<const int32_t> wanted, size_t count,
                     float least) {
    auto room = count - usize(std::count_if(scores.begin(), scores.end(),
                                            [&](float score) { return score > least; }));
    size_t found = 0;
    for (size_t t = 0; t < scores.size() && room > 0; ++t) {
      if (scores[t] != least) continue;
      --room;
      found += std::binary_search(wanted.begin(), wanted.end(), static_cast<int32_t>(t)) ? 1 : 0;
    }
    return found;
  }
  std::vector<float> order_;
};

// Sums of the heads picked so far, one row per prompt.
class Selection {
 public:
  Selection(std::span<const SelectionPrompt> prompts, std::span<const size_t> used) : prompts_(prompts) {
    for (const size_t i : used) sums_[i].assign(usize(prompts[i].scores->tokens()), 0.0f);
  }
  // Mean recall over some prompts if this head were added. Safe to call from several threads.
  double with(std::span<const size_t> train, const LayerHead& head) const {
    RecallCounter counter;
    std::vector<float> trial;
    double recalls = 0;
    for (const size_t i : train) {
      const std::vector<float>& sum = sums_.at(i);
      trial.resize(sum.size());
      prompts_[i].scores->add_to(head.layer, head.head, sum, trial);
      recalls += counter(trial, prompts_[i].wanted, prompts_[i].budget);
    }
    return recalls / static_cast<double>(train.size());
  }
  void add(const LayerHead& head) {
    for (auto& [prompt, sum] : sums_) prompts_[prompt].scores->add_to(head.layer, head.head, sum, sum);
  }
  double recall(size_t prompt) const {
    return RecallCounter()(sums_.at(prompt), prompts_[prompt].wanted, prompts_[prompt].budget);
  }

 private:
  std::span<const SelectionPrompt> prompts_;
  std::map<size_t, std::vector<float>> sums_;
};

LayerHead best_addition(const Selection& selection, const HeadScores& shape, std::span<const size_t> train,
                        int last_layer, const std::atomic<bool>* cancel, double& best) {
  std::vector<LayerHead> heads;
  for (int layer = 0; layer <= last_layer; ++layer) {
    for (int head = 0; head < shape.heads(); ++head) heads.push_back({layer, head, 1});
  }
  std::vector<double> recalls(heads.size(), -1.0);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < heads.size() && !(cancel != nullptr && *cancel); i = next++)
      recalls[i] = selection.with(train, heads[i]);
  };
  {
    std::vector<std::jthread> helpers(usize(std::max(physical_cores() - 1, 0)));
    for (std::jthread& helper : helpers) helper = std::jthread(work);
    work();
  }
  check_cancelled(cancel);
  const auto found = std::max_element(recalls.begin(), recalls.end());  // the first of equal ones
  best = *found;
  return heads[usize(found - recalls.begin())];
}

std::vector<size_t> all_but(size_t count, std::span<const size_t> left_out) {
  std::vector<size_t> rest;
  for (size_t i = 0; i < count; ++i) {
    if (std::find(left_out.begin(), left_out.end(), i) == left_out.end()) rest.push_back(i);
  }
  return rest;
}

// Recall of every prompt while its part was left out: [picks][prompts].
using LeftOut = std::vector<std::vector<double>>;

class Validation {
 public:
  Validation(std::span<const SelectionPrompt> prompts, const SelectionOptions& options)
      : prompts_(prompts),
        options_(options),
        folds_(prompt_folds(prompts, options.folds)),
        groups_(group_folds(prompts)) {
    if (groups_.size() < 2) groups_.clear();
    total_ = options.layers.size() * (1 + folds_.size() + groups_.size());
  }

  std::vector<Candidate> run() {
    std::vector<size_t> all(prompts_.size());
    std::iota(all.begin(), all.end(), size_t{0});
    for (const int layer : options_.layers) {
      for (const int last_layers : options_.rules) {
        if (last_layers <= layer + 1) add_rule(layer, last_layers);
      }
      const HeadSteps steps = select_heads(prompts_, all, {}, layer, options_.most_heads, options_.cancel);
      report();
      const LeftOut by_prompt = leave_out(folds_, layer), by_group = leave_out(groups_, layer);
      for (size_t i = 0; i < usize(options_.most_heads); ++i) {
        Candidate candidate;
        candidate.layer = layer;
        candidate.heads = static_cast<int>(i) + 1;
        candidate.selected_on = steps.recall[i];
        candidate.prompts_left_out = moments(by_prompt[i]);
        candidate.judged_by = by_prompt[i];
        candidate.chosen = steps.first(i + 1);
        if (!groups_.empty()) {
          candidate.groups_left_out = moments(by_group[i]);
          for (size_t p = 0; p < prompts_.size(); ++p)
            candidate.judged_by[p] = (by_prompt[i][p] + by_group[i][p]) / 2;
        }
        candidates_.push_back(std::move(candidate));
      }
    }
    return std::move(candidates_);
  }

 private:
  LeftOut leave_out(const std::vector<std::vector<size_t>>& parts, int layer) {
    LeftOut recall(usize(options_.most_heads), std::vector<double>(prompts_.size(), 0.0));
    for (const std::vector<size_t>& part : parts) {
      const std::vector<size_t> train = all_but(prompts_.size(), part);
      const HeadSteps steps =
          select_heads(prompts_, train, part, layer, options_.most_heads, options_.cancel);
      for (size_t i = 0; i < part.size(); ++i) {
        for (size_t pick = 0; pick < recall.size(); ++pick) recall[pick][part[i]] = steps.watched[i][pick];
      }
      report();
    }
    return recall;
  }

  void add_rule(int layer, int last_layers) {
    Candidate candidate;
    candidate.layer = layer;
    candidate.last_layers = last_layers;
    RecallCounter recall;
    std::vector<float> scores;
    for (const SelectionPrompt& prompt : prompts_) {
      scores.resize(usize(prompt.scores->tokens()));
      prompt.scores->published_rule(layer, last_layers, scores);
      candidate.judged_by.push_back(recall(scores, prompt.wanted, prompt.budget));
    }
    candidate.prompts_left_out = moments(candidate.judged_by);
    candidate.selected_on = candidate.prompts_left_out.mean;
    if (!groups_.empty()) candidate.groups_left_out = candidate.prompts_left_out;
    candidates_.push_back(std::move(candidate));
  }

  void report() {
    ++done_;
    if (options_.on_selection) options_.on_selection(done_, total_);
  }

  std::span<const SelectionPrompt> prompts_;
  const SelectionOptions& options_;
  std::vector<std::vector<size_t>> folds_, groups_;
  std::vector<Candidate> candidates_;
  size_t done_ = 0, total_ = 0;
};

std::map<std::string, std::vector<size_t>> by_group(std::span<const SelectionPrompt> prompts) {
  std::map<std::string, std::vector<size_t>> groups;
  for (size_t i = 0; i < prompts.size(); ++i) groups[prompts[i].group].push_back(i);
  return groups;
}

}  // namespace

double recall_of(std::span<const float> scores, std::span<const int32_t> wanted, int64_t budget) {
  return RecallCounter()(scores, wanted, budget);
}

std::vector<LayerHead> HeadSteps::first(size_t count) const {
  std::map<std::pair<int, int>, float> weights;
  for (size_t i = 0; i < count; ++i) weights[{picks[i].layer, picks[i].head}] += 1;
  std::vector<LayerHead> heads;
  for (const auto& [place, weight] : weights) heads.push_back({place.first, place.second, weight});
  return heads;
}

HeadSteps select_heads(std::span<const SelectionPrompt> prompts, std::span<const size_t> train,
                       std::span<const size_t> watch, int last_layer, int picks,
                       const std::atomic<bool>* cancel) {
  require(!train.empty() && picks > 0, "a selection needs prompts and at least one pick");
  std::vector<size_t> used(train.begin(), train.end());
  used.insert(used.end(), watch.begin(), watch.end());
  for (const size_t i : used) {
    require(last_layer >= 0 && last_layer < prompts[i].scores->layers() &&
                prompts[i].scores->heads() == prompts[used[0]].scores->heads(),
            "every prompt must have the scores of the same heads");
  }
  Selection selection(prompts, used);
  HeadSteps steps;
  steps.watched.resize(watch.size());
  for (int i = 0; i < picks; ++i) {
    double recall = 0;
    steps.picks.push_back(
        best_addition(selection, *prompts[train[0]].scores, train, last_layer, cancel, recall));
    steps.recall.push_back(recall);
    selection.add(steps.picks.back());
    for (size_t w = 0; w < watch.size(); ++w) steps.watched[w].push_back(selection.recall(watch[w]));
  }
  return steps;
}

std::vector<std::vector<size_t>> prompt_folds(std::span<const SelectionPrompt> prompts, int folds) {
  const auto count = std::min(usize(std::max(folds, 2)), prompts.size());
  std::vector<std::vector<size_t>> parts(count);
  size_t next = 0;
  for (const auto& [name, members] : by_group(prompts)) {
    for (const size_t i : members) parts[next++ % count].push_back(i);
  }
  for (std::vector<size_t>& part : parts) std::sort(part.begin(), part.end());
  return parts;
}

std::vector<std::vector<size_t>> group_folds(std::span<const SelectionPrompt> prompts) {
  std::vector<std::vector<size_t>> parts;
  for (auto& [name, members] : by_group(prompts)) parts.push_back(members);
  return parts;
}

std::vector<Candidate> validate_heads(std::span<const SelectionPrompt> prompts,
                                      const SelectionOptions& options) {
  if (prompts.size() < 2) {
    fail(ErrorCode::kInvalidArgument,
         "a calibration needs at least 2 prompts, there are {}; give more with --prompts", prompts.size());
  }
  require(options.most_heads > 0 && !options.layers.empty(), "a calibration needs heads and layers");
  return Validation(prompts, options).run();
}

size_t choose_candidate(std::span<const Candidate> candidates, bool rules) {
  std::vector<size_t> able;
  std::vector<double> means;
  for (size_t i = 0; i < candidates.size(); ++i) {
    means.push_back(moments(candidates[i].judged_by).mean);
    if (rules || candidates[i].heads > 0) able.push_back(i);
  }
  require(!able.empty(), "a choice needs candidates");
  const auto less = [&](size_t a, size_t b) { return means[a] < means[b]; };
  const size_t best = *std::max_element(able.begin(), able.end(), less);
  const auto as_good = [&](size_t i) {
    std::vector<double> short_by;
    for (size_t p = 0; p < candidates[i].judged_by.size(); ++p)
      short_by.push_back(candidates[best].judged_by[p] - candidates[i].judged_by[p]);
    const Moments difference = moments(short_by);
    return difference.mean <= difference.standard_error;
  };
  size_t chosen = best;
  const auto cost = [&](size_t i) { return std::tuple(candidates[i].layer, candidates[i].heads, -means[i]); };
  for (const size_t i : able) {
    if (as_good(i) && cost(i) < cost(chosen)) chosen = i;
  }
  return chosen;
}

}  // namespace claa::eval
