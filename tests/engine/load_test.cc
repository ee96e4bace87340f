// What a model file leaves open or gets wrong: said when the model is loaded, or when it is used.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "claa/engine.h"
#include "core/usize.h"
#include "prefill/tiny_model.h"

namespace claa {
namespace {

// A tiny model with a vocabulary of single characters, on disk while this lives.
class ModelFile {
 public:
  // `tensor`, if one is named, holds `value` alone.
  explicit ModelFile(const std::function<void(test::TinyFile&)>& change, const std::string& tensor = {},
                     float value = 0) {
    test::TinyFile file = test::tiny_file();
    std::vector<std::string> tokens;
    for (char c = '!'; tokens.size() < 94; ++c) tokens.emplace_back(1, c);
    for (int i = 0; tokens.size() < 97; ++i) tokens.push_back("<" + std::to_string(i) + ">");
    file.metadata["tokenizer.ggml.model"] = std::string("gpt2");
    file.metadata["tokenizer.ggml.pre"] = std::string("smollm");
    file.metadata["tokenizer.ggml.tokens"] = tokens;
    file.metadata["tokenizer.ggml.merges"] = std::vector<std::string>{};
    change(file);
    std::vector<std::byte> bytes = file.build();
    if (!tensor.empty()) {
      const gguf::File parsed = gguf::File::parse(bytes, "tiny.gguf");
      const std::span<const std::byte> data = parsed.find_tensor(tensor)->data;
      auto* values = reinterpret_cast<float*>(bytes.data() + (data.data() - bytes.data()));
      std::fill_n(values, data.size() / sizeof(float), value);
    }
    path_ = testing::TempDir() + "claa_load_test_" + std::to_string(getpid()) + ".gguf";
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  ~ModelFile() { std::filesystem::remove(path_); }
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;
  Engine load(int threads = 1) const {
    EngineOptions options;
    options.threads = threads;
    options.dtype = "f32";
    return Engine::load(path_, options);
  }

 private:
  std::string path_;
};

TEST(Load, WarnsOfAMissingPreTokenizer) {
  const ModelFile without([](test::TinyFile& file) { file.metadata.erase("tokenizer.ggml.pre"); });
  const Engine engine = without.load();
  ASSERT_EQ(engine.model().warnings.size(), 1u);
  EXPECT_THAT(engine.model().warnings.front(), testing::HasSubstr("tokenizer.ggml.pre"));
  const ModelFile with([](test::TinyFile&) {});
  EXPECT_TRUE(with.load().model().warnings.empty());
}

// A base model has no template: it continues the prompt, and the summary says so.
TEST(Load, WithoutATemplateTheTextIsContinued) {
  const ModelFile file([](test::TinyFile& f) { f.metadata.erase("tokenizer.chat_template"); });
  Engine engine = file.load();
  Request request;
  request.max_tokens = 1;
  request.prompt = "abc";
  EXPECT_THAT(engine.answer(request).prefill.note, testing::HasSubstr("as the model has no chat template"));
  request.raw = true;
  EXPECT_EQ(engine.answer(request).prefill.note, "");
}

// A template that this build cannot parse is refused by those who need it, each time, and by nobody else.
TEST(Load, ParsesTheTemplateWhenItIsUsed) {
  const ModelFile file([](test::TinyFile& f) {
    f.metadata["tokenizer.chat_template"] = std::string("{{ messages | groupby('role') }}");
  });
  Engine engine = file.load();
  Request request;
  request.max_tokens = 1;
  request.ids = {1, 2, 3};
  EXPECT_EQ(engine.answer(request).tokens.size(), 1u);
  request.ids.clear();
  request.prompt = "abc";
  request.raw = true;
  EXPECT_EQ(engine.answer(request).tokens.size(), 1u);
  request.raw = false;
  for (int i = 0; i < 2; ++i) {
    try {
      engine.answer(request);
      ADD_FAILURE() << "a template with an unknown filter was used";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kTemplate);
      EXPECT_THAT(error.what(), testing::HasSubstr("groupby"));
    }
  }
}

// Finite weights whose products are not: the run ends, and no token is made up.
TEST(Load, LogitsThatAreNoNumbersEndARun) {
  const ModelFile file([](test::TinyFile&) {}, "output_norm.weight", 3e38f);
  Engine engine = file.load();
  Request request;
  request.ids = {1, 2, 3};
  for (const char* method : {"full", "claa"}) {
    request.method = method;
    try {
      engine.answer(request);
      ADD_FAILURE() << method << " gave an answer";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_THAT(error.what(), testing::HasSubstr("last layer"));
    }
  }
}

// Four callers, with threads of the backend below them: small enough for the thread sanitizer.
TEST(Load, FourCallersShareAnEngine) {
  const ModelFile file([](test::TinyFile&) {});
  Engine engine = file.load(3);
  const char* methods[] = {"full", "claa", "snapkv", "gemfilter"};
  std::vector<Request> requests(4);
  std::vector<Answer> alone;
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].method = methods[i];
    if (i > 0) requests[i].params = {{"keep", "0.3"}};
    for (int32_t t = 0; t < 40; ++t) requests[i].ids.push_back(static_cast<int32_t>((usize(t) * 7 + i) % 90));
    requests[i].max_tokens = 6;
    alone.push_back(engine.answer(requests[i]));
  }
  for (int round = 0; round < 3; ++round) {
    std::vector<Answer> got(requests.size());
    std::vector<std::thread> callers;
    for (size_t i = 0; i < requests.size(); ++i) {
      callers.emplace_back([&, i] {
        Job job = engine.start(requests[i]);
        while (job.step()) {
        }
        got[i] = job.answer();
      });
    }
    for (std::thread& caller : callers) caller.join();
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].tokens, alone[i].tokens) << methods[i];
  }
}

}  // namespace
}  // namespace claa
