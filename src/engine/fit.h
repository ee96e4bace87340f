// Whether a model's weights fit the memory of a device, told before any of them is loaded.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "gguf/file.h"
#include "model/config.h"

namespace claa {

// One of the forms that weights may have on a device.
struct WeightForm {
  std::string options;  // by which a user asks for it
  size_t bytes = 0;
};
// All forms on the device of `options`: those of a file if there is one.
std::vector<WeightForm> weight_forms(const ModelConfig& config, const BackendOptions& options,
                                     const gguf::File* file);

// Throws Error{kOutOfMemory} with the numbers, and those of `forms` that would fit, if `needed` bytes of
// weights are more than `free`, unless that is 0 and so unknown. Forms are asked for only then.
void check_weights_fit(const std::string& model, size_t needed, size_t free,
                       const std::function<std::vector<WeightForm>()>& forms);

}  // namespace claa
