// The algorithms chosen for matrix products, stored from process to process: timing them takes longer than a
// prompt.
#pragma once

#include <cublasLt.h>

#include <map>
#include <string>
#include <tuple>

#include "core/cache_file.h"

namespace claa::cuda {

// outputs, inputs, bucket of rows, type of the inputs, type of the output, accumulate
using ProductKey = std::tuple<int64_t, int64_t, int64_t, int, int, bool>;

class Choices {
 public:
  // Reads the choices of this GPU, driver and library, if there are any.
  explicit Choices(const std::string& folder);
  // Writes the choices if any is new, merged with those that another process has written since.
  ~Choices();
  Choices(const Choices&) = delete;
  Choices& operator=(const Choices&) = delete;

  // Null when there is none. A choice comes from a file: ask the library whether it can be used.
  const cublasLtMatmulAlgo_t* find(const ProductKey& key) const;
  // The choice for the nearest bucket of rows, less than kReach times as many or as few; null when there is
  // none.
  const cublasLtMatmulAlgo_t* nearest(const ProductKey& key) const;
  void add(const ProductKey& key, const cublasLtMatmulAlgo_t& algorithm);

 private:
  static constexpr double kReach = 2;
  using Table = std::map<ProductKey, cublasLtMatmulAlgo_t>;
  static Table parse(const std::string& text);  // empty when a line is malformed

  CacheFile file_;
  Table known_, added_;
};

}  // namespace claa::cuda
