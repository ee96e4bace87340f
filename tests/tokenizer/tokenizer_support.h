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

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

inline std::string repeated(const boost::json::array& what) {
  const std::string part = to_text(what.at(0));
  std::string text;
  for (int64_t i = 0; i < what.at(1).as_int64(); ++i) text += part;
  return text;
}

inline std::vector<int32_t> encode_spans(const Tokenizer& tokenizer, const boost::json::array& parts) {
  std::vector<std::string> texts;
  for (const auto& part : parts) texts.push_back(to_text(part.as_array().at(0)));
  std::vector<Span> spans;
  for (size_t i = 0; i < texts.size(); ++i) spans.push_back({texts[i], parts[i].as_array().at(1).as_bool()});
  return tokenizer.encode(spans);
}

inline std::vector<int32_t> encode_case(const Tokenizer& tokenizer, const boost::json::object& golden) {
  if (const auto* text = golden.if_contains("text")) return tokenizer.encode(to_text(*text));
  if (const auto* hex = golden.if_contains("hex")) return tokenizer.encode(from_hex(to_text(*hex)));
  if (const auto* spans = golden.if_contains("spans")) return encode_spans(tokenizer, spans->as_array());
  return tokenizer.encode(repeated(golden.at("repeat").as_array()));
}

// The ids of goldens_KIND.jsonl, which tools/make_tokenizer_goldens.py makes with the Python package.
inline void expect_goldens(const Tokenizer& tokenizer, const std::string& kind) {
  std::istringstream lines(read_text(data_path("goldens_" + kind + ".jsonl")));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto golden = boost::json::parse(line).as_object();
    const auto ids = encode_case(tokenizer, golden);
    if (golden.contains("ids")) {
      EXPECT_EQ(ids, to_ids(golden.at("ids"))) << line;
    } else {
      EXPECT_EQ(static_cast<int64_t>(ids.size()), golden.at("count").as_int64()) << line;
      EXPECT_EQ(fnv1a(ids), to_text(golden.at("fnv1a"))) << line;
    }
  }
  EXPECT_GE(count, 700);
}

}  // namespace claa::test
