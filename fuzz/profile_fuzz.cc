// Any bytes as a profile: it is refused by the name of its source, or it sets parameters that the method
// `claa` takes for the model that the profile describes.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "claa/error.h"
#include "claa/registry.h"
#include "profile/profile.h"

namespace {

void expect(bool condition) {
  if (!condition) std::abort();
}

void use(const claa::Profile& profile) {
  static const claa::MethodRegistry methods = claa::builtin_methods();
  claa::ParamValues params = claa::profile_params(profile);
  const std::string early = claa::early_drops_param(profile);
  if (!early.empty()) params["early_drops"] = early;
  const auto method = methods.create("claa", params);
  claa::PromptInfo prompt;
  prompt.tokens = 10'000;
  prompt.layers = profile.layers;
  prompt.heads = prompt.kv_heads = profile.heads;
  prompt.head_size = 64;
  const auto run = method->start(prompt);
  const auto drop = run->first_drop();
  expect(!drop || (*drop >= -1 && *drop < profile.layers));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  claa::Profile profile;
  try {
    profile = claa::parse_profile(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz.json");
  } catch (const claa::Error& error) {
    expect(error.code() == claa::ErrorCode::kCorruptFile);
    expect(std::string_view(error.what()).find("fuzz.json") != std::string_view::npos);
    return 0;
  }
  use(profile);  // must not throw
  return 0;
}
