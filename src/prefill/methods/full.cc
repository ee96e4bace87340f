// full: every prompt token is computed and kept. The baseline that every other method is judged by
// (spec.md 1.1).
#include "claa/ranker.h"

namespace claa {
namespace {

struct FullParams {
  template <class Visitor>
  void visit(Visitor& /*v*/) {}
};

class FullRun : public Run {
 public:
  Decision decide(LayerView& /*view*/) override { return {}; }
  RunReport report() const override { return {.active = false, .reason = "full prefill was asked for"}; }
};

std::unique_ptr<Run> start(const FullParams& /*params*/, const PromptInfo& /*prompt*/) {
  return std::make_unique<FullRun>();
}

}  // namespace

void register_full(MethodRegistry& registry) {
  add_method<FullParams>(registry, "full", "every token, the whole cache", "-", start);
}

}  // namespace claa
