#include "template/jinja_operators.h"

#include <algorithm>
#include <cmath>

#include "core/usize.h"
#include "template/jinja_access.h"

namespace claa::jinja {
namespace {

const char* symbol(Operator op) {
  static constexpr const char* kSymbols[] = {
      "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSymbols[usize(op)];
}

[[noreturn]] void fail_types(Context& context, Operator op, const Value& a, const Value& b) {
  if (a.is_undefined()) context.fail_undefined(a);
  if (b.is_undefined()) context.fail_undefined(b);
  context.fail("'{}' does not work on a value of type {} and one of type {}", symbol(op), type_name(a),
               type_name(b));
}

bool equal_lists(Context& context, const List& a, const List& b) {
  if (a.tuple != b.tuple || a.items.size() != b.items.size()) return false;
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(),
                    [&](const Value& x, const Value& y) { return equal(context, x, y); });
}

bool equal_dicts(Context& context, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  return std::all_of(a.entries.begin(), a.entries.end(), [&](const auto& entry) {
    const Value* other = find_key(context, b, entry.first);
    return other != nullptr && equal(context, entry.second, *other);
  });
}

std::partial_ordering compare_lists(Context& context, const List& a, const List& b) {
  const size_t shared = std::min(a.items.size(), b.items.size());
  for (size_t i = 0; i < shared; ++i) {
    if (!equal(context, a.items[i], b.items[i])) return compare(context, a.items[i], b.items[i]);
  }
  return a.items.size() <=> b.items.size();
}

int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

double float_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

[[noreturn]] void fail_overflow(Context& context, Operator op) {
  context.fail("the result of '{}' is out of the range of 64-bit integers", symbol(op));
}

int64_t integer_power(Context& context, int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result))
      fail_overflow(context, Operator::kPower);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow(context, Operator::kPower);
  }
  return result;
}

Value calculate_floats(Context& context, Operator op, double a, double b) {
  if (b == 0 && (op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo)) {
    context.fail("division by zero");
  }
  switch (op) {
    case Operator::kAdd:
      return Value(a + b);
    case Operator::kSubtract:
      return Value(a - b);
    case Operator::kMultiply:
      return Value(a * b);
    case Operator::kDivide:
      return Value(a / b);
    case Operator::kFloorDivide:
      return Value(std::floor((a - float_modulo(a, b)) / b + 0.5));
    case Operator::kModulo:
      return Value(float_modulo(a, b));
    default:
      break;
  }
  const double power = std::pow(a, b);
  if (std::isfinite(a) && std::isfinite(b) && !std::isfinite(power))
    context.fail("the result of '**' is out of range");
  return Value(power);
}

Value calculate_integers(Context& context, Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::kFloorDivide:
    case Operator::kModulo:
      if (b == 0) context.fail("division by zero");
      // INT64_MIN / -1 has no 64-bit result and traps.
      overflow = b == -1 && op == Operator::kFloorDivide && __builtin_sub_overflow(int64_t{0}, a, &result);
      if (b == -1) break;
      result = op == Operator::kFloorDivide ? floor_divide(a, b) : a - floor_divide(a, b) * b;
      break;
    case Operator::kPower:
      if (b >= 0) return Value(integer_power(context, a, b));
      [[fallthrough]];
    default:
      return calculate_floats(context, op, static_cast<double>(a), static_cast<double>(b));
  }
  if (overflow) fail_overflow(context, op);
  return Value(result);
}

// The repeated size is checked before anything is allocated.
Value repeat(Context& context, const Value& value, int64_t times) {
  const uint64_t count = times > 0 ? static_cast<uint64_t>(times) : 0;
  if (const Text* text = value.text()) {
    uint64_t size = 0;
    if (__builtin_mul_overflow(count, text->size(), &size)) size = UINT64_MAX;
    context.check_text_size(size);
    TextBuilder out(context);
    for (uint64_t i = 0; i < count && !text->empty(); ++i) out.append(*text);
    return out.finish();
  }
  const List& list = *value.list();
  uint64_t size = 0;
  if (__builtin_mul_overflow(count, list.items.size(), &size) || size > INT64_MAX) size = INT64_MAX / 4;
  context.reserve_list(size);
  std::vector<Value> items;
  items.reserve(size);
  for (uint64_t i = 0; i < size; ++i) items.push_back(list.items[i % list.items.size()]);
  return context.list(std::move(items), list.tuple);
}

Value join_lists(Context& context, const List& a, const List& b) {
  context.reserve_list(a.items.size() + b.items.size());
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return context.list(std::move(items), a.tuple);
}

}  // namespace

bool equal(Context& context, const Value& a, const Value& b) {
  DepthGuard guard(context);
  context.step();
  if (a.is_number() && b.is_number()) {
    return a.is_float() || b.is_float() ? a.as_double() == b.as_double() : a.as_integer() == b.as_integer();
  }
  if (a.data().index() != b.data().index()) return false;
  if (const Text* text = a.text()) {
    context.step_bytes(std::min(text->size(), b.text()->size()));
    return text->view() == b.text()->view();
  }
  if (a.list() != nullptr) return equal_lists(context, *a.list(), *b.list());
  if (a.dict() != nullptr) return equal_dicts(context, *a.dict(), *b.dict());
  if (a.loop() != nullptr) return a.loop() == b.loop();
  if (a.callable() != nullptr) return a.callable() == b.callable();
  return a.name_space() == b.name_space();  // true also if both are none, or both undefined
}

std::partial_ordering compare(Context& context, const Value& a, const Value& b) {
  DepthGuard guard(context);
  context.step();
  if (a.is_integral() && b.is_integral()) return a.as_integer() <=> b.as_integer();
  if (a.is_number() && b.is_number()) return a.as_double() <=> b.as_double();
  if (a.text() != nullptr && b.text() != nullptr) {
    context.step_bytes(std::min(a.text()->size(), b.text()->size()));
    return a.text()->view() <=> b.text()->view();
  }
  if (a.list() != nullptr && b.list() != nullptr && a.list()->tuple == b.list()->tuple) {
    return compare_lists(context, *a.list(), *b.list());
  }
  fail_types(context, Operator::kLess, a, b);
}

bool contains(Context& context, const Value& item, const Value& container) {
  if (const Text* text = container.text()) {
    if (item.text() == nullptr) fail_types(context, Operator::kIn, item, container);
    return find_bytes(context, text->view(), item.text()->view(), 0) != std::string_view::npos;
  }
  if (const Dict* dict = container.dict()) return find_key(context, *dict, item) != nullptr;
  if (container.list() == nullptr && !container.is_undefined())
    fail_types(context, Operator::kIn, item, container);
  if (container.is_undefined()) return false;
  const auto& items = container.list()->items;
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& other) { return equal(context, item, other); });
}

Value calculate(Context& context, Operator op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral())
    return calculate_integers(context, op, a.as_integer(), b.as_integer());
  if (a.is_number() && b.is_number()) return calculate_floats(context, op, a.as_double(), b.as_double());
  if (op == Operator::kModulo && a.text() != nullptr) return format_percent(context, *a.text(), b);
  if (op == Operator::kAdd && a.text() != nullptr && b.text() != nullptr) {
    TextBuilder out(context);
    out.append(*a.text());
    out.append(*b.text());
    return out.finish();
  }
  if (op == Operator::kAdd && a.list() != nullptr && b.list() != nullptr &&
      a.list()->tuple == b.list()->tuple) {
    return join_lists(context, *a.list(), *b.list());
  }
  const auto repeats = [](const Value& value) { return value.text() != nullptr || value.list() != nullptr; };
  if (op == Operator::kMultiply && repeats(a) && b.is_integral()) return repeat(context, a, b.as_integer());
  if (op == Operator::kMultiply && a.is_integral() && repeats(b)) return repeat(context, b, a.as_integer());
  fail_types(context, op, a, b);
}

Value negate(Context& context, const Value& value) {
  if (value.is_float()) return Value(-value.as_double());
  if (value.is_undefined()) context.fail_undefined(value);
  if (!value.is_integral()) context.fail("'-' does not work on a value of type {}", type_name(value));
  return calculate_integers(context, Operator::kSubtract, 0, value.as_integer());
}

Value positive(Context& context, const Value& value) {
  if (value.is_undefined()) context.fail_undefined(value);
  if (!value.is_number()) context.fail("'+' does not work on a value of type {}", type_name(value));
  return value.is_bool() ? Value(value.as_integer()) : value;
}

bool test_relation(Context& context, Operator op, const Value& a, const Value& b) {
  switch (op) {
    case Operator::kEqual:
      return equal(context, a, b);
    case Operator::kNotEqual:
      return !equal(context, a, b);
    case Operator::kLess:
      return compare(context, a, b) < 0;
    case Operator::kLessEqual:
      return compare(context, a, b) <= 0;
    case Operator::kGreater:
      return compare(context, a, b) > 0;
    case Operator::kGreaterEqual:
      return compare(context, a, b) >= 0;
    case Operator::kIn:
      return contains(context, a, b);
    default:
      return !contains(context, a, b);
  }
}

}  // namespace claa::jinja
