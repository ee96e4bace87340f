#include "eval/diagnosis/diagnosis.h"

#include <cmath>
#include <limits>
#include <string_view>

#include "core/check.h"
#include "text/utf8.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

// A token can end inside a character, but JSON is UTF-8.
json::string text_json(const std::string& text) {
  return json::string(replace_invalid_utf8(text));
}

// JSON has no NaN and no infinity.
json::array numbers_json(const std::vector<double>& numbers) {
  json::array result;
  result.reserve(numbers.size());
  for (double number : numbers) {
    if (std::isfinite(number)) {
      result.emplace_back(number);
    } else {
      result.emplace_back(nullptr);
    }
  }
  return result;
}

json::object curve_json(const HeuristicCurve& curve) {
  json::object result;
  result["name"] = text_json(curve.name);
  result["horizontal"] = curve.horizontal;
  result["spearman"] = numbers_json(curve.spearman);
  result["jaccard"] = numbers_json(curve.jaccard);
  result["stability"] = numbers_json(curve.stability);
  result["exit_layer"] = curve.exit_layer;
  result["positions"] = numbers_json(curve.positions);
  return result;
}

[[noreturn]] void fail_type(const std::string& path, std::string_view wanted) {
  fail(ErrorCode::kCorruptFile, "the diagnosis field '{}' must be {}", path, wanted);
}

// A JSON value and the path to it, for messages: "heuristics[2].jaccard".
struct Field {
  const json::value& value;
  std::string path;

  Field member(std::string_view name) const {
    const json::object* object = value.if_object();
    if (object == nullptr) fail_type(path.empty() ? "(the whole)" : path, "an object");
    const json::value* found = object->if_contains(name);
    const std::string member_path = path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
    if (found == nullptr) fail(ErrorCode::kCorruptFile, "the diagnosis field '{}' is missing", member_path);
    return {*found, member_path};
  }

  std::vector<Field> items(std::string_view wanted) const {
    const json::array* array = value.if_array();
    if (array == nullptr) fail_type(path, wanted);
    std::vector<Field> result;
    result.reserve(array->size());
    for (size_t i = 0; i < array->size(); ++i)
      result.push_back({(*array)[i], fmt::format("{}[{}]", path, i)});
    return result;
  }

  std::string text() const {
    const json::string* string = value.if_string();
    if (string == nullptr) fail_type(path, "a string");
    return std::string(*string);
  }

  bool boolean() const {
    const bool* boolean = value.if_bool();
    if (boolean == nullptr) fail_type(path, "true or false");
    return *boolean;
  }

  int64_t integer(int64_t least, int64_t most) const {
    const int64_t* integer = value.if_int64();
    if (integer == nullptr || *integer < least || *integer > most) {
      fail_type(path, fmt::format("an integer from {} to {}", least, most));
    }
    return *integer;
  }

  // There are many numbers, so the paths of single ones are made only for a message.
  std::vector<double> numbers() const {
    const json::array* array = value.if_array();
    if (array == nullptr) fail_type(path, "a list of numbers");
    std::vector<double> result;
    result.reserve(array->size());
    for (size_t i = 0; i < array->size(); ++i) {
      const json::value& item = (*array)[i];
      if (!item.is_null() && !item.is_number()) fail_type(fmt::format("{}[{}]", path, i), "a number or null");
      result.push_back(item.is_null() ? std::numeric_limits<double>::quiet_NaN() : item.to_number<double>());
    }
    return result;
  }
};

HeuristicCurve curve_from(const Field& field) {
  HeuristicCurve curve;
  curve.name = field.member("name").text();
  curve.horizontal = field.member("horizontal").boolean();
  curve.spearman = field.member("spearman").numbers();
  curve.jaccard = field.member("jaccard").numbers();
  curve.stability = field.member("stability").numbers();
  curve.exit_layer =
      static_cast<int>(field.member("exit_layer").integer(-1, std::numeric_limits<int>::max()));
  curve.positions = field.member("positions").numbers();
  return curve;
}

}  // namespace

json::object to_json(const PromptDiagnosis& diagnosis) {
  json::object result;
  result["id"] = text_json(diagnosis.id);
  result["group"] = text_json(diagnosis.group);
  result["task"] = text_json(diagnosis.task);
  result["tokens"] = diagnosis.tokens;
  result["answer_tokens"] = diagnosis.answer_tokens;
  result["answer"] = text_json(diagnosis.answer);
  result["fixed_layer"] = diagnosis.fixed_layer;
  json::array heuristics;
  for (const HeuristicCurve& curve : diagnosis.heuristics) heuristics.push_back(curve_json(curve));
  result["heuristics"] = std::move(heuristics);
  result["oracle_positions"] = numbers_json(diagnosis.oracle_positions);
  json::array recall;
  for (const std::vector<double>& layer : diagnosis.head_recall) recall.push_back(numbers_json(layer));
  result["head_recall"] = std::move(recall);
  return result;
}

PromptDiagnosis diagnosis_from_json(const json::value& json) {
  constexpr int64_t kMostTokens = std::numeric_limits<int64_t>::max();
  const Field field{json, ""};
  PromptDiagnosis diagnosis;
  diagnosis.id = field.member("id").text();
  diagnosis.group = field.member("group").text();
  diagnosis.task = field.member("task").text();
  diagnosis.tokens = field.member("tokens").integer(0, kMostTokens);
  diagnosis.answer_tokens = field.member("answer_tokens").integer(0, kMostTokens);
  diagnosis.answer = field.member("answer").text();
  diagnosis.fixed_layer =
      static_cast<int>(field.member("fixed_layer").integer(0, std::numeric_limits<int>::max()));
  for (const Field& item : field.member("heuristics").items("a list of objects")) {
    diagnosis.heuristics.push_back(curve_from(item));
  }
  diagnosis.oracle_positions = field.member("oracle_positions").numbers();
  for (const Field& item : field.member("head_recall").items("a list of lists of numbers")) {
    diagnosis.head_recall.push_back(item.numbers());
  }
  return diagnosis;
}

}  // namespace claa::eval
