#include "gguf/split.h"

#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/check.h"
#include "text/visible.h"

namespace claa::gguf {
namespace {

constexpr uint64_t kMaxFiles = 9999;
constexpr uint64_t kMaxTensors = 65536;
constexpr const char* kNumber = "split.no";
constexpr const char* kCount = "split.count";
constexpr const char* kTensors = "split.tensors.count";

std::string ending(uint64_t index, uint64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", index + 1, count);
}

// The name of the first file, from that of another; nothing if the other is not named as such.
std::optional<std::string> first_of(const std::string& name, uint64_t index, uint64_t count) {
  const std::string end = ending(index, count);
  if (!name.ends_with(end)) return std::nullopt;
  return name.substr(0, name.size() - end.size()) + ending(0, count);
}

void check_value(const Part& part, const char* key, uint64_t expected, const std::string& first) {
  const std::optional<uint64_t> seen = part.get_uint(key);
  if (seen == expected) return;
  fail(ErrorCode::kCorruptFile,
       "'{}': {} is {}, but {} is needed beside '{}'; fetch the files of one model anew", part.name, key,
       seen ? std::to_string(*seen) : "missing", expected, first);
}

// Files after the first need not name the architecture; where one does, it is that of the same model.
void check_architecture(const Part& part, const Part& first) {
  constexpr std::string_view key = "general.architecture";
  const Value* value = part.metadata.find(key);
  const Value* expected = first.metadata.find(key);
  if (value == nullptr || expected == nullptr) return;
  const std::string_view seen = to_string(*value, part.name), wanted = to_string(*expected, first.name);
  if (seen == wanted) return;
  fail(ErrorCode::kCorruptFile,
       "'{}': {} is '{}', but that of '{}' is '{}'; put the files of one model together", part.name, key,
       visible_bytes(seen.substr(0, 60)), first.name, visible_bytes(wanted.substr(0, 60)));
}

}  // namespace

uint64_t count_of_files(const Part& first) {
  const uint64_t count = first.get_uint(kCount).value_or(1);
  if (count <= 1) return 1;
  if (count > kMaxFiles) {
    fail(ErrorCode::kCorruptFile, "'{}': {} is {}, more than the limit of {}", first.name, kCount, count,
         kMaxFiles);
  }
  const uint64_t number = first.get_uint(kNumber).value_or(0);
  if (number == 0) return count;
  fail(ErrorCode::kUnsupported, "'{}' is file {} of a model that is split into {}; give the first, {}",
       first.name, number < count ? number + 1 : number, count,
       number < count ? "'" + first_of(first.name, number, count).value_or("NAME" + ending(0, count)) + "'"
                      : "NAME" + ending(0, count));
}

void check_count_of_files(const Part& first, uint64_t given) {
  const uint64_t count = count_of_files(first);
  if (count == given) return;
  fail(ErrorCode::kUnsupported,
       "'{}': the model is split into {} files, of which {} were given; give all of them", first.name, count,
       given);
}

std::string name_of_file(const std::string& first, uint64_t index, uint64_t count) {
  const std::string end = ending(0, count);
  if (!first.ends_with(end)) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' is the first of {} files of a model, but its name does not end in '{}', by which the others "
         "are "
         "found; give the files the names that they had",
         first, count, end);
  }
  return first.substr(0, first.size() - end.size()) + ending(index, count);
}

FileMap map_of_file(const std::string& name, const std::string& first, uint64_t index, uint64_t count) {
  try {
    return FileMap(name);
  } catch (const Error& error) {
    fail(error.code(), "{}; it is file {} of the {} that '{}' begins: put all of them into one folder",
         error.what(), index + 1, count, first);
  }
}

std::vector<TensorInfo> merge_tensors(std::vector<Part>& parts) {
  const Part& first = parts.front();
  if (parts.size() == 1) return std::move(parts.front().tensors);
  std::unordered_map<std::string_view, size_t> owners;  // views of the tensors' names
  uint64_t count = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    check_value(part, kNumber, i, first.name);
    check_value(part, kCount, parts.size(), first.name);
    check_architecture(part, first);
    count += part.tensors.size();
    if (count > kMaxTensors) {
      fail(ErrorCode::kCorruptFile, "'{}': more than {} tensors with those of the files before it", part.name,
           kMaxTensors);
    }
    for (const TensorInfo& tensor : part.tensors) {
      const auto [owner, is_new] = owners.emplace(tensor.name, i);
      if (is_new) continue;
      fail(ErrorCode::kCorruptFile, "'{}': tensor '{}' is in '{}' too; put the files of one model together",
           part.name, visible_bytes(tensor.name), parts[owner->second].name);
    }
  }
  for (const Part& part : parts) check_value(part, kTensors, count, first.name);
  std::vector<TensorInfo> tensors;
  tensors.reserve(count);
  for (Part& part : parts) {
    for (TensorInfo& tensor : part.tensors) tensors.push_back(std::move(tensor));
    part.tensors.clear();
  }
  return tensors;
}

}  // namespace claa::gguf
