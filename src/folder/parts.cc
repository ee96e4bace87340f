#include "folder/parts.h"

#include <fmt/ranges.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "core/check.h"
#include "gguf/quants.h"
#include "text/visible.h"

namespace claa {
namespace {

using Bytes = std::vector<std::byte>;
using gguf::TensorInfo;

constexpr uint64_t kBlockValues = 32, kBlockBytes = 17, kPackedBytes = 16;  // of MXFP4

class Rearranger {
 public:
  Rearranger(const SafeTensor& tensor, const TensorInfo& as_is, const PartRule& rule, const HeadOrder& heads,
             const std::string& folder, std::vector<std::unique_ptr<Bytes>>& copies)
      : tensor_(tensor), as_is_(as_is), rule_(rule), heads_(heads), folder_(folder), copies_(copies) {}

  std::vector<TensorInfo> run(const SafeTensor* scales) {
    switch (rule_.form) {
      case PartForm::kSame:
        return {named(as_is_, rule_.to)};
      case PartForm::kNumbers:
        return {numbers(false)};
      case PartForm::kDecay:
        return {numbers(true)};
      case PartForm::kHeads:
        return {head_rows(0, 1)};
      case PartForm::kHeadRows:
        return {head_rows(0, heads_.size)};
      case PartForm::kRowsBehindKeys:
        return {head_rows(2 * heads_.key_heads * heads_.size, heads_.size)};
      case PartForm::kHeadColumns:
        return {head_columns()};
      case PartForm::kHalves:
        return halves();
      case PartForm::kEveryOther:
        return every_other();
      case PartForm::kTransposed:
      case PartForm::kTransposedInTurn:
        return transposed();
      case PartForm::kMxfp4:
      case PartForm::kMxfp4InTurn:
        return blocks(scales);
    }
    return {};
  }

 private:
  [[noreturn]] void refuse(const std::string& needed) const {
    fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' has the shape [{}]; {} is needed", folder_,
         visible_bytes(tensor_.name), fmt::join(tensor_.shape, ", "), needed);
  }
  void need_dimensions(size_t count, const char* what) const {
    if (tensor_.shape.size() != count) refuse(what);
  }
  // Rounded types come with scales, which would have to move too.
  void need_plain() const {
    if (as_is_.scales == nullptr) return;
    fail(ErrorCode::kUnsupported,
         "'{}': tensor '{}' has eight bits, and this build does not put such a tensor in order: convert the "
         "model to GGUF",
         folder_, visible_bytes(tensor_.name));
  }

  static TensorInfo named(TensorInfo info, std::string_view name) {
    info.name = name;
    return info;
  }
  std::span<const std::byte> keep(Bytes bytes) const {
    copies_.push_back(std::make_unique<Bytes>(std::move(bytes)));
    return *copies_.back();
  }
  TensorInfo made(std::string_view name, std::vector<uint64_t> shape, gguf::TensorType type,
                  Bytes bytes) const {
    return {std::string(name), std::move(shape), type, keep(std::move(bytes)), nullptr};
  }

  TensorInfo numbers(bool decay) const {
    need_plain();
    std::vector<float> values(as_is_.elements());
    gguf::dequantize(as_is_.type, as_is_.data, values);
    if (decay) {
      for (float& value : values) value = -std::exp(value);
    }
    Bytes bytes(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    TensorInfo info = made(rule_.to, {}, gguf::TensorType::kF32, std::move(bytes));
    for (const uint64_t extent : as_is_.shape)
      if (extent > 1) info.shape.push_back(extent);
    if (info.shape.empty()) info.shape = {1};
    return decay ? in_order(std::move(info), 0, 1) : info;
  }

  // Copies runs of `bytes`, of which each value head has `size` behind `first` of others.
  void order(std::span<const std::byte> from, std::span<std::byte> to, uint64_t first, uint64_t size,
             uint64_t bytes) const {
    const uint64_t each = heads_.value_heads / heads_.key_heads, run = size * bytes;
    std::memcpy(to.data(), from.data(), first * bytes);
    std::byte* out = to.data() + first * bytes;
    for (uint64_t v = 0; v < each; ++v) {
      for (uint64_t k = 0; k < heads_.key_heads; ++k) {
        std::memcpy(out, from.data() + first * bytes + (k * each + v) * run, run);
        out += run;
      }
    }
  }

  // Rows of the slowest dimension.
  TensorInfo in_order(TensorInfo info, uint64_t first, uint64_t size) const {
    if (info.shape.back() != first + heads_.value_heads * size)
      refuse(fmt::format("one of {} rows", first + heads_.value_heads * size));
    if (heads_.key_heads == heads_.value_heads) return info;
    Bytes bytes(info.data.size());
    order(info.data, bytes, first, size, info.data.size() / info.shape.back());
    info.data = keep(std::move(bytes));
    return info;
  }

  TensorInfo head_rows(uint64_t first, uint64_t size) const {
    TensorInfo info = named(as_is_, rule_.to);
    // A convolution has one channel for each row.
    if (info.shape.size() == 3 && info.shape[1] == 1) info.shape.erase(info.shape.begin() + 1);
    if (heads_.key_heads != heads_.value_heads) need_plain();
    return in_order(std::move(info), first, size);
  }

  TensorInfo head_columns() const {
    need_dimensions(2, "one of two dimensions");
    TensorInfo info = named(as_is_, rule_.to);
    const uint64_t columns = info.shape[0], rows = info.shape[1];
    if (columns != heads_.value_heads * heads_.size)
      refuse(fmt::format("one of {} columns", heads_.value_heads * heads_.size));
    if (heads_.key_heads == heads_.value_heads) return info;
    need_plain();
    const uint64_t row_bytes = info.data.size() / rows;
    Bytes bytes(info.data.size());
    for (uint64_t row = 0; row < rows; ++row) {
      order(info.data.subspan(row * row_bytes, row_bytes),
            std::span(bytes).subspan(row * row_bytes, row_bytes), 0, heads_.size, row_bytes / columns);
    }
    info.data = keep(std::move(bytes));
    return info;
  }

  std::vector<TensorInfo> halves() const {
    need_dimensions(3, "one of three dimensions with an even second");
    need_plain();
    const uint64_t experts = as_is_.shape[2], width = as_is_.shape[1] / 2;
    if (as_is_.shape[1] % 2 != 0) refuse("one of three dimensions with an even second");
    const size_t bytes = as_is_.data.size() / experts;
    std::vector<TensorInfo> two{named(as_is_, rule_.to), named(as_is_, rule_.second)};
    for (size_t half = 0; half < two.size(); ++half) {
      two[half].shape[1] = width;
      two[half].data = {};
      for (uint64_t e = 0; e < experts; ++e)
        two[half].slices.push_back(as_is_.data.subspan(e * bytes + half * bytes / 2, bytes / 2));
    }
    return two;
  }

  std::vector<TensorInfo> every_other() const {
    need_dimensions(2, "one of two dimensions with an even second");
    need_plain();
    if (as_is_.shape[0] % 2 != 0) refuse("one of two dimensions with an even second");
    const size_t element = as_is_.data.size() / as_is_.elements(), count = as_is_.elements() / 2;
    std::vector<TensorInfo> result;
    for (const size_t start : {size_t{0}, size_t{1}}) {
      Bytes bytes(count * element);
      for (size_t i = 0; i < count; ++i)
        std::memcpy(&bytes[i * element], &as_is_.data[(2 * i + start) * element], element);
      result.push_back(made(start == 0 ? rule_.to : rule_.second, {as_is_.shape[0] / 2, as_is_.shape[1]},
                            as_is_.type, std::move(bytes)));
    }
    return result;
  }

  // Column `start + j * stride` of every expert becomes its row j.
  Bytes columns(uint64_t start, uint64_t stride) const {
    const uint64_t all = as_is_.shape[0], rows = as_is_.shape[1], experts = as_is_.shape[2],
                   count = all / stride;
    const size_t element = as_is_.data.size() / as_is_.elements();
    Bytes bytes(experts * count * rows * element);
    std::byte* out = bytes.data();
    for (uint64_t e = 0; e < experts; ++e) {
      for (uint64_t j = 0; j < count; ++j) {
        const std::byte* in = as_is_.data.data() + (e * rows * all + start + j * stride) * element;
        for (uint64_t i = 0; i < rows; ++i, in += all * element, out += element)
          std::memcpy(out, in, element);
      }
    }
    return bytes;
  }

  std::vector<TensorInfo> transposed() const {
    const uint64_t stride = rule_.second.empty() ? 1 : 2;
    need_dimensions(3, "one of three dimensions");
    need_plain();
    if (as_is_.shape[0] % stride != 0) refuse("one of three dimensions with an even third");
    std::vector<TensorInfo> result;
    for (uint64_t start = 0; start < stride; ++start) {
      result.push_back(made(start == 0 ? rule_.to : rule_.second,
                            {as_is_.shape[1], as_is_.shape[0] / stride, as_is_.shape[2]}, as_is_.type,
                            columns(start, stride)));
    }
    return result;
  }

  // The folder has value 2 i in the low half of byte i and value 2 i + 1 in the high half; a GGUF file has
  // values i and 16 + i there, behind the scale.
  static void pack(const std::byte* in, std::byte scale, std::byte* out) {
    const auto value = [in](size_t i) { return (in[i / 2] >> (i % 2 == 0 ? 0 : 4)) & std::byte{15}; };
    *out++ = scale;
    for (size_t i = 0; i < kPackedBytes; ++i) out[i] = value(i) | (value(kPackedBytes + i) << 4);
  }

  std::vector<TensorInfo> blocks(const SafeTensor* scales) const {
    const uint64_t stride = rule_.second.empty() ? 1 : 2;
    need_dimensions(4, "one of four dimensions, the last of 16,");
    const uint64_t experts = tensor_.shape[0], rows = tensor_.shape[1], per_row = tensor_.shape[2];
    if (tensor_.shape[3] != kPackedBytes || rows % stride != 0 || tensor_.data.empty())
      refuse("one of four dimensions, the last of 16,");
    const std::vector<uint64_t> of_scales{experts, rows, per_row};
    if (scales == nullptr || scales->dtype != "U8" || tensor_.dtype != "U8" || scales->shape != of_scales) {
      fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' needs a tensor of scales of type U8 and shape [{}]",
           folder_, visible_bytes(tensor_.name), fmt::join(of_scales, ", "));
    }
    std::vector<TensorInfo> result;
    for (uint64_t start = 0; start < stride; ++start) {
      Bytes bytes(experts * (rows / stride) * per_row * kBlockBytes);
      std::byte* out = bytes.data();
      for (uint64_t row = start; row < experts * rows; row += stride) {
        for (uint64_t b = row * per_row; b < (row + 1) * per_row; ++b, out += kBlockBytes)
          pack(&tensor_.data[b * kPackedBytes], scales->data[b], out);
      }
      result.push_back(made(start == 0 ? rule_.to : rule_.second,
                            {per_row * kBlockValues, rows / stride, experts}, gguf::TensorType::kMXFP4,
                            std::move(bytes)));
    }
    return result;
  }

  const SafeTensor& tensor_;
  const TensorInfo& as_is_;
  const PartRule& rule_;
  const HeadOrder& heads_;
  const std::string& folder_;
  std::vector<std::unique_ptr<Bytes>>& copies_;
};

}  // namespace

std::vector<TensorInfo> rearranged(const SafeTensor& tensor, const TensorInfo& as_is,
                                   const SafeTensor* scales, const PartRule& rule, const HeadOrder& heads,
                                   const std::string& folder,
                                   std::vector<std::unique_ptr<std::vector<std::byte>>>& copies) {
  return Rearranger(tensor, as_is, rule, heads, folder, copies).run(scales);
}

}  // namespace claa
