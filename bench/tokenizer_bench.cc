// Speed of the tokenizer on a text file.
//   tokenizer_bench MODEL.gguf TEXT [google-benchmark flags]
#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "claa/error.h"
#include "gguf/file.h"
#include "tokenizer/tokenizer.h"

namespace {

void encode(benchmark::State& state, const claa::Tokenizer& tokenizer, const std::string& text) {
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.encode(text));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void decode(benchmark::State& state, const claa::Tokenizer& tokenizer, const std::string& text) {
  const auto ids = tokenizer.encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.decode(ids));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void load(benchmark::State& state, const claa::gguf::File& file) {
  for (auto _ : state) claa::Tokenizer tokenizer(claa::read_tokenizer_data(file));
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: tokenizer_bench MODEL.gguf TEXT [flags]\n");
    return 2;
  }
  const auto file = claa::gguf::File::open(argv[1]);
  const claa::Tokenizer tokenizer(claa::read_tokenizer_data(file));
  std::ifstream in(argv[2], std::ios::binary);
  std::ostringstream content;
  content << in.rdbuf();
  const std::string text = content.str();
  if (text.empty()) {
    std::fprintf(stderr, "%s: missing or empty\n", argv[2]);
    return 2;
  }
  benchmark::RegisterBenchmark("encode", [&](benchmark::State& state) {
    encode(state, tokenizer, text);
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("decode", [&](benchmark::State& state) {
    decode(state, tokenizer, text);
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("load", [&](benchmark::State& state) {
    load(state, file);
  })->Unit(benchmark::kMillisecond);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const claa::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
