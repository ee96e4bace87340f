// Tensors of a layer that a GGUF file has in another order: experts that are packed or transposed, heads that
// are interleaved, and numbers of another meaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "folder/safetensors.h"
#include "gguf/file.h"

namespace claa {

enum class PartForm {
  kSame,              // as it is
  kNumbers,           // in f32, without dimensions of 1
  kDecay,             // -exp of numbers, one per value head
  kHeads,             // a row or a number for each value head
  kHeadRows,          // as many rows as a head has values, for each value head
  kRowsBehindKeys,    // the same behind rows of key heads, which stay
  kHeadColumns,       // columns of value heads
  kHalves,            // [experts, 2 n, m]: n rows of the first tensor, then n of the second
  kEveryOther,        // [experts, 2 n]: numbers of two tensors in turn
  kTransposed,        // [experts, m, n] of a tensor [experts, n, m]
  kTransposedInTurn,  // the same with columns of two tensors in turn
  kMxfp4,        // [experts, n, m / 32, 16] blocks; scales are a tensor of their own, [experts, n, m / 32]
  kMxfp4InTurn,  // the same with rows of two tensors in turn
};

struct PartRule {
  std::string_view part;  // of a layer in the folder: "linear_attn.A_log"
  PartForm form;
  std::string_view to, second = {};  // of a block of a GGUF file: "ssm_a"
};

// A folder has the value heads of one key head together, a GGUF file the first of every key head, then the
// second.
struct HeadOrder {
  uint64_t key_heads = 1, value_heads = 1, size = 1;
};

// What is made of `tensor` by `rule`: one or two tensors, whose names are those of the rule and whose data
// view the tensor's or are in `copies`. `scales`: of kMxfp4 the tensor of scales. Throws kCorruptFile for a
// shape, and kUnsupported for a type, that the form does not have; `folder` is for messages.
std::vector<gguf::TensorInfo> rearranged(const SafeTensor& tensor, const gguf::TensorInfo& as_is,
                                         const SafeTensor* scales, const PartRule& rule,
                                         const HeadOrder& heads, const std::string& folder,
                                         std::vector<std::unique_ptr<std::vector<std::byte>>>& copies);

}  // namespace claa
