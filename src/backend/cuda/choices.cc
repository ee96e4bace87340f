#include "backend/cuda/choices.h"

#include <algorithm>
#include <span>
#include <sstream>

#include "backend/cuda/check.h"
#include "core/fingerprint.h"

namespace claa::cuda {
namespace {

CacheFile open_file(const std::string& folder) {
  cudaDeviceProp properties{};
  int driver = 0;
  check(cudaGetDeviceProperties(&properties, 0), "device cuda");
  check(cudaDriverGetVersion(&driver), "device cuda");
  const std::string key =
      fmt::format("{}, driver {}, cuBLASLt {}", std::string(properties.name), driver, cublasLtGetVersion());
  return {folder, fmt::format("products-{:016x}.txt", fingerprint(std::as_bytes(std::span(key)))), key};
}

}  // namespace

Choices::Choices(const std::string& folder) : file_(open_file(folder)), known_(parse(file_.read())) {}

Choices::~Choices() {
  if (added_.empty()) return;
  try {
    Table all = parse(file_.read());
    all.insert(known_.begin(), known_.end());
    for (const auto& [key, algorithm] : added_) all.insert_or_assign(key, algorithm);
    std::string text;
    for (const auto& [key, algorithm] : all) {
      const auto& [outputs, inputs, rows, in, out, accumulate] = key;
      text += fmt::format("{} {} {} {} {} {}", outputs, inputs, rows, in, out, accumulate ? 1 : 0);
      for (const uint64_t word : algorithm.data) text += fmt::format(" {}", word);
      text += '\n';
    }
    file_.write(text);
  } catch (const std::exception&) {
    // Ignored: the file would only have saved time.
  }
}

const cublasLtMatmulAlgo_t* Choices::find(const ProductKey& key) const {
  const auto found = known_.find(key);
  return found == known_.end() ? nullptr : &found->second;
}

const cublasLtMatmulAlgo_t* Choices::nearest(const ProductKey& key) const {
  const auto rows_of = [](const ProductKey& k) { return static_cast<double>(std::get<2>(k)); };
  const auto alike = [&](ProductKey other) {
    std::get<2>(other) = std::get<2>(key);
    return other == key;
  };
  const cublasLtMatmulAlgo_t* best = nullptr;
  double least = kReach;
  for (const Table* table : {&known_, &added_}) {
    for (const auto& [other, algorithm] : *table) {
      const double ratio = rows_of(other) / rows_of(key), far = std::max(ratio, 1 / ratio);
      if (alike(other) && far < least) least = far, best = &algorithm;
    }
  }
  return best;
}

void Choices::add(const ProductKey& key, const cublasLtMatmulAlgo_t& algorithm) {
  added_.insert_or_assign(key, algorithm);
}

Choices::Table Choices::parse(const std::string& text) {
  Table table;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line);
    int64_t outputs = 0, inputs = 0, rows = 0;
    int in_type = 0, out_type = 0;
    bool accumulate = false;
    cublasLtMatmulAlgo_t algorithm{};
    in >> outputs >> inputs >> rows >> in_type >> out_type >> accumulate;
    for (uint64_t& word : algorithm.data) in >> word;
    if (!in || !(in >> std::ws).eof()) return {};
    table.emplace(ProductKey{outputs, inputs, rows, in_type, out_type, accumulate}, algorithm);
  }
  return table;
}

}  // namespace claa::cuda
