// Global functions of templates.
#include <chrono>
#include <iterator>

#include "template/jinja_access.h"
#include "template/jinja_filters.h"
#include "template/jinja_print.h"

namespace claa::jinja {
namespace {

int64_t range_argument(const Context& context, const Value& value) {
  if (value.is_undefined()) context.fail_undefined(value);
  if (!value.is_integral()) context.fail("range() needs integers, not a {}", type_name(value));
  return value.as_integer();
}

Value make_range(Context& context, const Value&, const Arguments& arguments) {
  const size_t given = arguments.positional.size();
  if (given == 0 || given > 3 || !arguments.keyword.empty())
    context.fail("range() takes one to three integers");
  const int64_t start = given > 1 ? range_argument(context, arguments.positional[0]) : 0;
  const int64_t stop = range_argument(context, arguments.positional[given > 1 ? 1 : 0]);
  const int64_t step = given > 2 ? range_argument(context, arguments.positional[2]) : 1;
  if (step == 0) context.fail("the step of range() cannot be 0");
  if (step > 0 ? start >= stop : start <= stop) return context.list({});
  // Unsigned, since neither the distance nor the smallest step need fit a signed integer.
  const uint64_t distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                     : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t magnitude =
      step < 0 ? uint64_t{0} - static_cast<uint64_t>(step) : static_cast<uint64_t>(step);
  const uint64_t count = (distance - 1) / magnitude + 1;
  context.step(count);
  context.reserve_list(count);
  std::vector<Value> items;
  items.reserve(count);
  auto value = static_cast<uint64_t>(start);
  for (uint64_t i = 0; i < count; ++i, value += static_cast<uint64_t>(step)) {
    items.emplace_back(static_cast<int64_t>(value));
  }
  return context.list(std::move(items));
}

// Adds the entries of dict(...) and namespace(...): those of a mapping or of pairs, then the named ones.
std::vector<std::pair<Value, Value>> read_entries(Context& context, const Arguments& arguments) {
  if (arguments.positional.size() > 1)
    context.fail("dict() and namespace() take at most one value by position");
  std::vector<std::pair<Value, Value>> entries;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    const bool mapping = source.dict() != nullptr;
    const Value pairs = mapping ? find_method(source, "items")(context, source, {}) : source;
    const ListPtr list = iterate(context, pairs);
    for (const Value& entry : list->items) {
      const ListPtr pair = iterate(context, entry);
      if (pair->items.size() != 2) context.fail("dict() and namespace() need pairs of a key and a value");
      set_entry(context, entries, pair->items[0], pair->items[1]);
    }
  }
  for (const auto& [name, value] : arguments.keyword) set_entry(context, entries, context.text(name), value);
  return entries;
}

Value make_dict(Context& context, const Value&, const Arguments& arguments) {
  return context.dict(read_entries(context, arguments));
}

Value make_namespace(Context& context, const Value&, const Arguments& arguments) {
  std::vector<std::pair<std::string, Value>> attributes;
  for (auto& [key, value] : read_entries(context, arguments)) {
    if (key.text() == nullptr) context.fail("namespace() needs names that are strings");
    attributes.emplace_back(std::string(key.text()->view()), std::move(value));
  }
  return context.name_space(std::move(attributes));
}

Value raise_exception(Context& context, const Value&, const Arguments& arguments) {
  ArgumentReader reader(context, "raise_exception", arguments);
  const TextPtr message = to_text(context, reader.required("message"));
  reader.done();
  context.fail("{}", message->view());
}

constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};
constexpr std::string_view kWeekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday"};

// Formats one directive of strftime, in English whatever the locale. `plain` numbers have no leading zero
// (%-d).
std::string date_part(const Context& context, char directive, bool plain) {
  const TemplateDate& date = context.date();
  const auto number = [plain](int value, int width) {
    return plain ? fmt::format("{}", value) : fmt::format("{:0{}}", value, width);
  };
  using std::chrono::day, std::chrono::month, std::chrono::year, std::chrono::sys_days;
  const sys_days today =
      year(date.year) / month(static_cast<unsigned>(date.month)) / day(static_cast<unsigned>(date.day));
  const size_t weekday = std::chrono::weekday(today).c_encoding();
  const int hour12 = date.hour % 12 == 0 ? 12 : date.hour % 12;
  switch (directive) {
    case 'Y':
      return number(date.year, 4);
    case 'y':
      return number(date.year % 100, 2);
    case 'm':
      return number(date.month, 2);
    case 'd':
      return number(date.day, 2);
    case 'e':
      return fmt::format("{:2}", date.day);
    case 'b':
      return std::string(kMonths[date.month - 1].substr(0, 3));
    case 'B':
      return std::string(kMonths[date.month - 1]);
    case 'a':
      return std::string(kWeekdays[weekday].substr(0, 3));
    case 'A':
      return std::string(kWeekdays[weekday]);
    case 'H':
      return number(date.hour, 2);
    case 'I':
      return number(hour12, 2);
    case 'M':
      return number(date.minute, 2);
    case 'S':
      return number(date.second, 2);
    case 'p':
      return date.hour < 12 ? "AM" : "PM";
    case 'j':
      return number(static_cast<int>((today - sys_days(year(date.year) / 1 / 1)).count()) + 1, 3);
    case 'F':
      return fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
    case 'T':
      return fmt::format("{:02}:{:02}:{:02}", date.hour, date.minute, date.second);
    case '%':
      return "%";
    default:
      context.fail("strftime_now() does not know '%{}'", directive);
  }
}

Value strftime_now(Context& context, const Value&, const Arguments& arguments) {
  ArgumentReader reader(context, "strftime_now", arguments);
  const Text& format = reader.required_text("format");
  reader.done();
  TextBuilder out(context);
  CharReader characters(format);
  for (Char c; characters.next(c);) {
    if (c.code != '%') {
      out.append(c.bytes, c.origin);
      continue;
    }
    const Origin percent = c.origin;
    bool more = characters.next(c);
    const bool plain = more && c.code == '-';
    if (plain) more = characters.next(c);
    if (!more || c.bytes.size() != 1) context.fail("strftime_now(): a '%' without a letter");
    out.append(date_part(context, c.bytes[0], plain), percent != kFromTemplate ? percent : c.origin);
  }
  return out.finish();
}

constexpr NamedFunction kGlobals[] = {
    {"range", make_range},          {"dict", make_dict},
    {"namespace", make_namespace},  {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

FunctionPtr find_global(std::string_view name) {
  return find_function(kGlobals, name);
}

}  // namespace claa::jinja
