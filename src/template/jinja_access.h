// Looking into values: attributes, items, slices, iteration and searching.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "template/jinja_context.h"

namespace claa::jinja {

// `object.name`: a method or attribute of the type, else the item of that key. Undefined when there is none.
Value get_attribute(Context& context, const Value& object, std::string_view name);
// `object[key]`: the item, else the attribute of that name.
Value get_item(Context& context, const Value& object, const Value& key);
// A path such as "a.b.0", which filters take as `attribute`.
Value get_path(Context& context, const Value& object, const Value& path);

struct SliceBounds {
  std::optional<int64_t> start;
  std::optional<int64_t> stop;
  std::optional<int64_t> step;
};
Value get_slice(Context& context, const Value& object, const SliceBounds& bounds);

// The values that a loop over `value` visits: items, characters or keys.
ListPtr iterate(Context& context, const Value& value);

const Value* find_key(Context& context, const Dict& dict, const Value& key);
const Value* find_key(Context& context, const Dict& dict, std::string_view key);
// Sets a key of a mapping that is being built.
void set_entry(Context& context, std::vector<std::pair<Value, Value>>& entries, Value key, Value value);
// Position of `needle` in `text` at or behind `from`, or npos.
size_t find_bytes(Context& context, std::string_view text, std::string_view needle, size_t from);

}  // namespace claa::jinja
