#include "template/jinja_access.h"

#include <string.h>

#include <algorithm>
#include <charconv>

#include "core/usize.h"
#include "template/jinja_methods.h"
#include "template/jinja_operators.h"
#include "template/jinja_print.h"
#include "text/unicode.h"

namespace claa::jinja {
namespace {

bool can_be_key(const Value& key) {
  if (key.dict() != nullptr) return false;
  const List* list = key.list();
  if (list == nullptr) return true;
  return list->tuple && std::all_of(list->items.begin(), list->items.end(), can_be_key);
}

Value missing(const Value& object, const Value& key, Context& context) {
  TextBuilder name(context);
  write_repr(name, key);
  constexpr size_t kShown = 80;
  return undefined(fmt::format("a value of type {} has no attribute {}", type_name(object),
                               name.take().view().substr(0, kShown)));
}

Value loop_item(const Loop& loop, size_t index, const char* what) {
  return index < loop.items->items.size() ? loop.items->items[index] : undefined(what);
}

Value loop_cycle(Context& context, const Value& subject, const Arguments& arguments) {
  if (arguments.positional.empty()) context.fail("loop.cycle() needs values");
  return arguments.positional[subject.loop()->index % arguments.positional.size()];
}

std::optional<Value> loop_attribute(Context& context, const Value& object, std::string_view name) {
  const Loop& loop = *object.loop();
  const auto index = static_cast<int64_t>(loop.index);
  const auto length = static_cast<int64_t>(loop.items->items.size());
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == length);
  if (name == "length") return Value(length);
  if (name == "revindex") return Value(length - index);
  if (name == "revindex0") return Value(length - index - 1);
  if (name == "depth") return Value(int64_t{1});
  if (name == "depth0") return Value(int64_t{0});
  if (name == "previtem") return loop_item(loop, loop.index - 1, "there is no previous item");
  if (name == "nextitem") return loop_item(loop, loop.index + 1, "there is no next item");
  if (name == "cycle") return context.function("cycle", loop_cycle, object);
  return std::nullopt;
}

// An attribute that belongs to the type, not to the keys of a mapping.
std::optional<Value> type_attribute(Context& context, const Value& object, std::string_view name) {
  context.step();
  if (object.loop() != nullptr) return loop_attribute(context, object, name);
  if (Namespace* space = object.name_space()) {
    context.step(space->attributes.size());
    for (const auto& [key, value] : space->attributes) {
      if (key == name) return value;
    }
  }
  if (const FunctionPtr method = find_method(object, name))
    return context.function(std::string(name), method, object);
  return std::nullopt;
}

std::optional<Value> sequence_item(Context& context, const Value& object, int64_t index) {
  if (const List* list = object.list()) {
    const auto size = static_cast<int64_t>(list->items.size());
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    return list->items[usize(index)];
  }
  const Text& text = *object.text();
  context.step_bytes(text.size());
  if (index < 0) index += static_cast<int64_t>(count_characters(text.view()));
  if (index < 0) return std::nullopt;
  const size_t begin = character_offset(text.view(), usize(index));
  if (begin >= text.size()) return std::nullopt;
  return context.text(text.slice(begin, begin + decode_character(text.view(), begin).size));
}

// Start, stop and step of a slice of `size` items, as Python clips them.
struct Range {
  int64_t start;
  int64_t step;
  int64_t count;
};

Range clip(Context& context, const SliceBounds& bounds, int64_t size) {
  const int64_t step = bounds.step.value_or(1);
  if (step == 0) context.fail("the step of a slice cannot be 0");
  const int64_t low = step < 0 ? -1 : 0;
  const int64_t high = step < 0 ? size - 1 : size;
  const auto bound = [&](const std::optional<int64_t>& given, int64_t otherwise) {
    if (!given.has_value()) return otherwise;
    return std::clamp(*given < 0 ? *given + size : *given, low, high);
  };
  const int64_t start = bound(bounds.start, step < 0 ? high : low);
  const int64_t stop = bound(bounds.stop, step < 0 ? low : high);
  const int64_t distance = step < 0 ? start - stop : stop - start;
  if (distance <= 0) return {start, step, 0};
  // The magnitude of the smallest integer does not fit a signed type, so it is unsigned.
  const uint64_t magnitude =
      step < 0 ? uint64_t{0} - static_cast<uint64_t>(step) : static_cast<uint64_t>(step);
  return {start, step, static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / magnitude) + 1};
}

Value slice_text(Context& context, const Text& text, const SliceBounds& bounds) {
  context.step_bytes(text.size());
  const auto size = static_cast<int64_t>(count_characters(text.view()));
  const Range range = clip(context, bounds, size);
  if (range.count == 0) return context.text("");
  if (range.step == 1) {
    const size_t begin = character_offset(text.view(), usize(range.start));
    const std::string_view rest = text.view().substr(begin);
    return context.text(text.slice(begin, begin + character_offset(rest, usize(range.count))));
  }
  context.step(static_cast<uint64_t>(size));
  std::vector<size_t> offsets;
  for (size_t offset = 0; offset < text.size(); offset += decode_character(text.view(), offset).size)
    offsets.push_back(offset);
  offsets.push_back(text.size());
  TextBuilder out(context);
  int64_t index = range.start;
  for (int64_t i = 0; i < range.count; ++i) {
    const auto at = usize(index);
    out.append(text, offsets[at], offsets[at + 1]);
    if (i + 1 < range.count) index += range.step;
  }
  return out.finish();
}

}  // namespace

Value get_attribute(Context& context, const Value& object, std::string_view name) {
  if (object.is_undefined()) context.fail_undefined(object);
  if (auto found = type_attribute(context, object, name)) return *found;
  if (const Dict* dict = object.dict()) {
    if (const Value* found = find_key(context, *dict, name)) return *found;
  }
  return missing(object, context.text(name), context);
}

Value get_item(Context& context, const Value& object, const Value& key) {
  if (object.is_undefined()) context.fail_undefined(object);
  if (const Dict* dict = object.dict(); dict != nullptr && can_be_key(key)) {
    if (const Value* found = find_key(context, *dict, key)) return *found;
  }
  if ((object.list() != nullptr || object.text() != nullptr) && key.is_integral()) {
    if (auto found = sequence_item(context, object, key.as_integer())) return *found;
  }
  if (const Text* name = key.text()) {
    if (auto found = type_attribute(context, object, name->view())) return *found;
  }
  return missing(object, key, context);
}

Value get_path(Context& context, const Value& object, const Value& path) {
  if (path.text() == nullptr) return get_item(context, object, path);
  Value value = object;
  std::string_view rest = path.text()->view();
  while (true) {
    const std::string_view part = rest.substr(0, rest.find('.'));
    int64_t index = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool number =
        !part.empty() && error == std::errc() && end == part.data() + part.size() && index >= 0;
    value = get_item(context, value, number ? Value(index) : context.text(part));
    if (part.size() == rest.size()) return value;
    rest.remove_prefix(part.size() + 1);
  }
}

Value get_slice(Context& context, const Value& object, const SliceBounds& bounds) {
  if (const Text* text = object.text()) return slice_text(context, *text, bounds);
  if (object.is_undefined()) context.fail_undefined(object);
  const List* list = object.list();
  if (list == nullptr) context.fail("a value of type {} cannot be sliced", type_name(object));
  const Range range = clip(context, bounds, static_cast<int64_t>(list->items.size()));
  context.reserve_list(static_cast<uint64_t>(range.count));
  std::vector<Value> items;
  items.reserve(usize(range.count));
  int64_t index = range.start;
  for (int64_t i = 0; i < range.count; ++i) {
    items.push_back(list->items[usize(index)]);
    if (i + 1 < range.count) index += range.step;
  }
  return context.list(std::move(items), list->tuple);
}

ListPtr iterate(Context& context, const Value& value) {
  if (const auto* list = std::get_if<ListPtr>(&value.data())) return *list;
  std::vector<Value> items;
  if (const Text* text = value.text()) {
    CharReader reader(*text);
    for (Char c; reader.next(c);) items.push_back(context.text(c.bytes, c.origin));
  } else if (const Dict* dict = value.dict()) {
    context.reserve_list(dict->entries.size());
    for (const auto& entry : dict->entries) items.push_back(entry.first);
  } else if (!value.is_undefined()) {
    context.fail("a value of type {} cannot be iterated over", type_name(value));
  }
  return std::get<ListPtr>(context.list(std::move(items)).data());
}

namespace {

using Entries = std::vector<std::pair<Value, Value>>;

const Value* find_text_key(Context& context, const Entries& entries, std::string_view key) {
  context.step_bytes(entries.size());
  for (const auto& entry : entries) {
    const Text* text = entry.first.text();
    if (text == nullptr || text->size() != key.size()) continue;
    context.step_bytes(key.size());
    if (text->view() == key) return &entry.second;
  }
  return nullptr;
}

const Value* find_entry(Context& context, const Entries& entries, const Value& key) {
  if (const Text* text = key.text()) return find_text_key(context, entries, text->view());
  if (key.is_undefined()) return nullptr;  // it is a key like others, which no mapping has
  if (!can_be_key(key)) {
    context.fail("a {} cannot be a key", type_name(key));
  }
  for (const auto& entry : entries) {
    if (equal(context, entry.first, key)) return &entry.second;
  }
  return nullptr;
}

}  // namespace

const Value* find_key(Context& context, const Dict& dict, const Value& key) {
  return find_entry(context, dict.entries, key);
}

const Value* find_key(Context& context, const Dict& dict, std::string_view key) {
  return find_text_key(context, dict.entries, key);
}

void set_entry(Context& context, std::vector<std::pair<Value, Value>>& entries, Value key, Value value) {
  context.reserve_list(2);
  if (const Value* found = find_entry(context, entries, key)) {
    const auto index = usize(std::find_if(entries.begin(), entries.end(),
                                          [&](const auto& entry) { return &entry.second == found; }) -
                             entries.begin());
    entries[index].second = std::move(value);
  } else {
    entries.emplace_back(std::move(key), std::move(value));
  }
}

size_t find_bytes(Context& context, std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  // memmem() takes time linear in the text whatever the needle is; std::string_view::find may not.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) {
    context.step_bytes(text.size() - from);
    return std::string_view::npos;
  }
  const auto offset = usize(static_cast<const char*>(found) - text.data());
  context.step((offset - from) / Context::kBytesPerStep);
  return offset;
}

}  // namespace claa::jinja
