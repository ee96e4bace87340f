#include "engine/fit.h"

#include "core/check.h"
#include "prefill/memory_plan.h"

namespace claa {

std::vector<WeightForm> weight_forms(const ModelConfig& config, const BackendOptions& options,
                                     const gguf::File* file) {
  std::vector<std::string> dtypes = {"f32", "bf16"};
  if (options.name == "cpu") dtypes.push_back("int8");
  if (options.name == "cuda") dtypes.push_back("fp8");
  std::vector<WeightForm> forms;
  for (const std::string& dtype : dtypes) {
    for (const bool resident : {false, true}) {
      if (resident && (file == nullptr || options.name == "reference")) continue;
      BackendOptions form = backend_options(options.name, dtype, options.threads, options.isa);
      form.resident = resident;
      forms.push_back({fmt::format("--dtype {} --weights {}", dtype, resident ? "resident" : "widened"),
                       weight_bytes(config, form, file)});
    }
  }
  return forms;
}

void check_weights_fit(const std::string& model, size_t needed, size_t free,
                       const std::function<std::vector<WeightForm>()>& forms) {
  if (free == 0 || needed <= free) return;
  constexpr double kGb = 1e9;
  const auto gb = [](size_t bytes) { return static_cast<double>(bytes) / kGb; };
  std::string fitting;
  for (const WeightForm& form : forms()) {
    if (form.bytes <= free)
      fitting += fmt::format("{}{} ({:.1f} GB)", fitting.empty() ? "" : ", ", form.options, gb(form.bytes));
  }
  fail(ErrorCode::kOutOfMemory, "{}: its weights need {:.1f} GB, {:.1f} GB are free; {}", model, gb(needed),
       gb(free),
       fitting.empty() ? "no form of them fits: choose a smaller model, or a file of fewer bits"
                       : "choose " + fitting);
}

}  // namespace claa
