// What config.json says of RoPE, as metadata and, where GGUF has a tensor for it, as factors of frequencies.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "folder/settings.h"
#include "gguf/writer.h"

namespace claa {

// The settings of config.json that say how layers which see the whole prompt turn: rope_scaling, or in newer
// files rope_parameters, of which there may be one object for each kind of layer.
void add_rope(const Settings& config, const std::string& architecture, uint64_t rotated, gguf::Writer& writer,
              std::map<std::string, std::vector<float>>& vectors);

}  // namespace claa
