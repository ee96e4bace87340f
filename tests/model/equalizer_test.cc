// Channels of equal size: the function of a model does not change, and integer products stay precise where a
// few channels are far larger than the rest.
#include "model/equalizer.h"

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "backend/reference/reference_backend.h"
#include "claa/registry.h"
#include "prefill/prefill_support.h"

namespace claa {
namespace {

using test::TinyFile;
using test::TinyModel;

constexpr float kOutlier = 30;

// The f32 reference, asking for even channels.
class Evened : public reference::ReferenceBackend {
 public:
  Evened() : ReferenceBackend(DType::kF32) { traits_.even_channels = true; }
  const DeviceTraits& traits() const override { return traits_; }

 private:
  DeviceTraits traits_ = ReferenceBackend(DType::kF32).traits();
};

std::vector<float> logits_of(const Model& model, const std::vector<int32_t>& ids) {
  return run_prefill(model, ids, *builtin_methods().create("full", {}), {}).logits;
}

std::vector<float> logits_on(Backend& backend, const std::vector<std::byte>& bytes,
                             const std::vector<int32_t>& ids) {
  const gguf::File file = gguf::File::parse(bytes, "tiny.gguf");
  return logits_of(Model(read_config(file), load_weights(file, read_config(file), backend), backend), ids);
}

// The same model, but four channels of each norm in a layer are kOutlier times as large, and the columns that
// read them are smaller by the same factor.
std::vector<std::byte> with_outliers(const std::vector<std::byte>& bytes) {
  const gguf::File file = gguf::File::parse(bytes, "tiny.gguf");
  std::vector<std::byte> result = bytes;
  for (const auto& info : file.tensors()) {
    const bool norm = info.name.ends_with("attn_norm.weight") || info.name.ends_with("ffn_norm.weight");
    const bool reader =
        info.name.find("attn_q") != std::string::npos || info.name.find("attn_k") != std::string::npos ||
        info.name.find("attn_v") != std::string::npos || info.name.find("ffn_gate") != std::string::npos ||
        info.name.find("ffn_up") != std::string::npos;
    if (!norm && !(reader && info.shape.size() == 2)) continue;
    auto* values = reinterpret_cast<float*>(result.data() + (info.data.data() - bytes.data()));
    for (size_t i = 0; i < info.data.size() / sizeof(float); i += 16) {
      values[i] *= norm ? kOutlier : 1 / kOutlier;
    }
  }
  return result;
}

double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  double errors = 0, squares = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    errors += std::pow(got[i] - want[i], 2), squares += std::pow(want[i], 2);
  }
  return std::sqrt(errors / squares);
}

// A folder of its own, without the file of an earlier run.
CacheFile kept_file() {
  const auto folder = std::filesystem::temp_directory_path() / ("claa-channels-" + std::to_string(getpid()));
  std::filesystem::remove_all(folder);
  return {folder.string(), "channels", "a model"};
}

std::vector<float> logits_with(const CacheFile& kept, Backend& backend, const std::vector<std::byte>& bytes) {
  const gguf::File file = gguf::File::parse(bytes, "tiny.gguf");
  const ModelConfig config = read_config(file);
  return logits_of(Model(config, load_weights(file, config, backend, {}, &kept), backend),
                   test::prompt_of(60));
}

// Sums of f32 in another order: what is divided out of a norm is multiplied into what reads it.
TEST(Equalizer, ChangesNoProduct) {
  for (const char* architecture : {"llama", "qwen2"}) {
    test::TinyShape shape;
    shape.architecture = architecture;
    shape.bias = shape.architecture == "qwen2";
    const std::vector<std::byte> bytes = with_outliers(test::tiny_file(shape).build());
    const auto ids = test::prompt_of(60);
    reference::ReferenceBackend plain(DType::kF32);
    Evened evened;
    const std::vector<float> want = logits_on(plain, bytes, ids), got = logits_on(evened, bytes, ids);
    EXPECT_NE(want, got) << "nothing was evened out";
    EXPECT_LT(relative_error(got, want), 1e-5) << architecture;
  }
}

// Channels that are thirty times as large as the rest become 5.5 times as large, the root. The largest of 64
// normal values is 2.6 and of these four 1.46, so that the step of rounding grows 5.5 * 1.46 / 2.6 = 3.1
// times, and not at all in the other matrices. Uneven, it grows 17 times.
TEST(Equalizer, OutliersCostIntegersLittle) {
  const std::vector<std::byte> bytes = test::tiny_file().build();
  const auto ids = test::prompt_of(60);
  BackendOptions options{"cpu", DType::kBF16, 1, ""};
  options.int8 = true;
  const auto int8 = make_backend(options);
  reference::ReferenceBackend exact(DType::kF32);
  const std::vector<float> want = logits_on(exact, bytes, ids);
  const double plain = relative_error(logits_on(*int8, bytes, ids), want);
  const double uneven = relative_error(logits_on(*int8, with_outliers(bytes), ids), want);
  EXPECT_GT(plain, 0);
  EXPECT_LT(uneven, 3.1 * plain);
}

// A factor is the root of a channel's size in the sample beside the quadratic mean of all; a channel that the
// sample does not use counts as a fifth of that mean.
TEST(Equalizer, FactorsAreRootsOfSizes) {
  TinyModel tiny({"reference", DType::kF32, 1, ""});
  const Equalizer equalizer(tiny.model);
  std::vector<float> norm(64, 1.0f);
  const std::vector<float> even = equalizer.factors(norm);
  norm[3] = 4, norm[7] = 0;
  const std::vector<float> factors = equalizer.factors(norm);
  EXPECT_NEAR(factors[7], std::sqrt(0.2), 1e-6);
  EXPECT_NEAR(factors[3] / factors[4], 2 * even[3] / even[4], 1e-5);
  double squares = 0;  // of sizes, whose roots are the factors
  for (const float factor : even) squares += std::pow(factor, 4);
  EXPECT_NEAR(squares / 64, 1, 1e-5);
}

TEST(Equalizer, SizesThatAreNotFiniteChangeNothing) {
  TinyModel tiny({"reference", DType::kF32, 1, ""});
  const Equalizer equalizer(tiny.model);
  const std::vector<float> ones(64, 1.0f);
  std::vector<float> norm(64, 0.0f);
  EXPECT_EQ(equalizer.factors(norm), ones);
  norm[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(equalizer.factors(norm), ones);
  norm[5] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(equalizer.factors(norm), ones);
}

TEST(Equalizer, FactorsOfAnEarlierLoadAreTaken) {
  const std::vector<std::byte> bytes = with_outliers(test::tiny_file({}).build());
  Evened evened;
  reference::ReferenceBackend plain(DType::kF32);
  const std::vector<float> learned = logits_on(evened, bytes, test::prompt_of(60));
  const CacheFile kept = kept_file();
  EXPECT_EQ(logits_with(kept, evened, bytes), learned);
  const std::string factors = kept.read();
  ASSERT_FALSE(factors.empty());
  EXPECT_EQ(logits_with(kept, evened, bytes), learned);
  EXPECT_EQ(kept.read(), factors);
  // Where all are 1 nothing is evened out.
  const std::vector<float> ones(factors.size() / sizeof(float), 1.0f);
  ASSERT_TRUE(kept.write({reinterpret_cast<const char*>(ones.data()), factors.size()}));
  EXPECT_EQ(logits_with(kept, evened, bytes), logits_on(plain, bytes, test::prompt_of(60)));
}

TEST(Equalizer, FactorsThatItCannotHaveLearnedAreLearnedAgain) {
  const std::vector<std::byte> bytes = with_outliers(test::tiny_file({}).build());
  Evened evened;
  const CacheFile kept = kept_file();
  const std::vector<float> learned = logits_with(kept, evened, bytes);
  const std::string factors = kept.read();
  for (const float value : {0.0f, -1.0f, 1e9f, std::numeric_limits<float>::quiet_NaN()}) {
    std::string bad = factors;
    std::memcpy(bad.data() + sizeof(float), &value, sizeof(value));
    ASSERT_TRUE(kept.write(bad));
    EXPECT_EQ(logits_with(kept, evened, bytes), learned) << value;
    EXPECT_EQ(kept.read(), factors) << value;
  }
  ASSERT_TRUE(kept.write(factors.substr(sizeof(float))));
  EXPECT_EQ(logits_with(kept, evened, bytes), learned);
}

}  // namespace
}  // namespace claa
