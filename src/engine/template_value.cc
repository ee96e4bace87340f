#include "engine/template_value.h"

#include <unordered_map>

#include "core/check.h"
#include "text/visible.h"

namespace claa {
namespace {

TemplateValue number_value(const Json& json, std::string_view where) {
  if (const auto integer = json.integer()) return {*integer};
  const bool whole = json.source.find_first_of(".eE") == std::string_view::npos;
  const auto number = json.number();
  if (whole || !number) {
    fail(ErrorCode::kInvalidArgument, "{}: the number {} does not fit; give {}", where,
         visible_line(json.source.substr(0, 60)),
         whole ? "one of 64 bits, or a fraction" : "one of the range of f64");
  }
  return {*number};
}

TemplateValue object_value(const Json& json, std::string_view where) {
  TemplateValue::Object members;
  std::unordered_map<std::string_view, size_t> places;
  for (size_t i = 0; i < json.items.size(); ++i) {
    const auto [place, is_new] = places.emplace(json.names[i], members.size());
    TemplateValue value = template_value(json.items[i], where);
    if (is_new) {
      members.emplace_back(json.names[i], std::move(value));
    } else {
      members[place->second].second = std::move(value);
    }
  }
  return {std::move(members)};
}

}  // namespace

TemplateValue template_value(const Json& json, std::string_view where) {
  switch (json.kind) {
    case Json::Kind::kNull:
      return {};
    case Json::Kind::kBool:
      return {json.source == "true"};
    case Json::Kind::kNumber:
      return number_value(json, where);
    case Json::Kind::kString:
      return {json.text};
    case Json::Kind::kArray: {
      TemplateValue::Array items;
      for (const Json& item : json.items) items.push_back(template_value(item, where));
      return {std::move(items)};
    }
    case Json::Kind::kObject:
      return object_value(json, where);
  }
  return {};
}

}  // namespace claa
