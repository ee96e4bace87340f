#include "eval/study/outcome.h"

#include <cmath>
#include <limits>

#include "core/check.h"
#include "output/json.h"

namespace claa::eval {
namespace {

namespace json = boost::json;

// Milliseconds are rounded to a microsecond, scores to the digits that a double surely carries through text
// and back.
double rounded(double value, double steps) {
  return std::round(value * steps) / steps;
}

template <typename Value>
Value field(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  boost::system::error_code error;
  if constexpr (std::is_same_v<Value, std::string>) {
    if (value != nullptr && value->is_string()) return std::string(value->as_string());
  } else {
    if constexpr (std::is_same_v<Value, double>) {
      if (value != nullptr && value->is_null()) return std::numeric_limits<double>::quiet_NaN();
    }
    if (value != nullptr) {
      const Value converted = value->to_number<Value>(error);
      if (!error) return converted;
    }
  }
  fail(ErrorCode::kCorruptFile, "a result has no usable field '{}': {}; the file is not from claa eval", name,
       json_text(object).substr(0, 120));
}

const json::object& object_field(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_object())
    fail(ErrorCode::kCorruptFile, "a result has no object '{}'; the file is not from claa eval", name);
  return value->as_object();
}

std::map<std::string, double> numbers(const json::object& object, const char* name) {
  std::map<std::string, double> values;
  for (const auto& [key, value] : object_field(object, name)) {
    if (value.is_null()) continue;  // a number that was none, which JSON lacks
    boost::system::error_code error;
    values[std::string(key)] = value.to_number<double>(error);
    if (error) fail(ErrorCode::kCorruptFile, "'{}' of a result's '{}' is no number", std::string(key), name);
  }
  return values;
}

json::object numbers_json(const std::map<std::string, double>& values) {
  json::object object;
  for (const auto& [name, value] : values) object[name] = rounded(value, 1e9);
  return object;
}

}  // namespace

const char* status_name(Status status) {
  return status == Status::kOk ? "ok" : status == Status::kSkipped ? "skipped" : "error";
}

json::object to_json(const Outcome& outcome) {
  json::object params;
  for (const auto& [name, value] : outcome.params) params[name] = value;
  json::object object{{"index", outcome.index},
                      {"id", outcome.id},
                      {"task", outcome.task},
                      {"group", outcome.group},
                      {"seed", outcome.seed},
                      {"facets", numbers_json(outcome.facets)},
                      {"prompt_hash", outcome.prompt_hash},
                      {"configuration", outcome.configuration},
                      {"method", outcome.method},
                      {"keep", outcome.keep},
                      {"params", std::move(params)},
                      {"status", status_name(outcome.status)},
                      {"reason", outcome.reason},
                      {"prediction", outcome.prediction},
                      {"score", rounded(outcome.score, 1e9)},
                      {"metrics", numbers_json(outcome.metrics)},
                      {"signals", numbers_json(outcome.signals)},
                      {"tokens", outcome.tokens},
                      {"kept_tokens", outcome.kept_tokens},
                      {"output_tokens", outcome.output_tokens},
                      {"ttft_ms", rounded(outcome.ttft_ms, 1000)}};
  return object;
}

Outcome outcome_from_json(const json::object& object) {
  Outcome outcome;
  outcome.index = field<int64_t>(object, "index");
  outcome.id = field<std::string>(object, "id");
  outcome.task = field<std::string>(object, "task");
  outcome.group = field<std::string>(object, "group");
  outcome.seed = field<uint64_t>(object, "seed");
  outcome.facets = numbers(object, "facets");
  outcome.prompt_hash = field<std::string>(object, "prompt_hash");
  outcome.configuration = field<std::string>(object, "configuration");
  outcome.method = field<std::string>(object, "method");
  outcome.keep = field<double>(object, "keep");
  for (const auto& [name, value] : object_field(object, "params")) {
    if (value.is_string()) outcome.params.emplace_back(name, value.as_string());
  }
  const auto status = field<std::string>(object, "status");
  outcome.status = status == "ok" ? Status::kOk : status == "skipped" ? Status::kSkipped : Status::kError;
  outcome.reason = field<std::string>(object, "reason");
  outcome.prediction = field<std::string>(object, "prediction");
  outcome.score = field<double>(object, "score");
  outcome.metrics = numbers(object, "metrics");
  if (object.contains("signals")) outcome.signals = numbers(object, "signals");  // not in older results
  outcome.tokens = field<int64_t>(object, "tokens");
  outcome.kept_tokens = field<int64_t>(object, "kept_tokens");
  outcome.output_tokens = field<int64_t>(object, "output_tokens");
  outcome.ttft_ms = field<double>(object, "ttft_ms");
  return outcome;
}

}  // namespace claa::eval
