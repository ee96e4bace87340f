// Helpers of the tokenizer tests: goldens, models, hashes.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gguf/file.h"
#include "paths.h"
#include "tokenizer/tokenizer.h"

namespace claa::test {

inline std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline std::string data_path(const std::string& name) {
  return test_data("tokenizer/") + name;
}

// The model file that holds the vocabulary of a pre-tokenizer. SmolLM2 is the only real model among them and
// too large to be part of the source tree.
inline std::string model_path(const std::string& pre) {
  if (pre != "smollm") return data_path("vocab_" + pre + ".gguf");
  const std::string path = test_model();
  if (!std::ifstream(path)) {
    throw std::runtime_error(
        path + " is missing: this test needs the real model; models/README.md says how to get it");
  }
  return path;
}

inline Tokenizer load_tokenizer(const std::string& pre) {
  return Tokenizer(read_tokenizer_data(gguf::File::open(model_path(pre))));
}

inline std::string fnv1a(const std::vector<int32_t>& ids) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ (static_cast<uint32_t>(id) >> shift & 0xFF)) * 0x100000001B3ull;
    }
  }
  std::ostringstream out;
  out << std::hex;
  out.width(16);
  out.fill('0');
  out << hash;
  return out.str();
}

inline std::string to_text(const boost::json::value& value) {
  return {value.as_string().data(), value.as_string().size()};
}

inline std::vector<int32_t> to_ids(const boost::json::value& value) {
  std::vector<int32_t> ids;
  for (const auto& id : value.as_array()) ids.push_back(static_cast<int32_t>(id.as_int64()));
  return ids;
}

}  // namespace claa::test
