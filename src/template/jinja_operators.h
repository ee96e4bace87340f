// Operators of the language on values, as Python defines them, with 64-bit integers: an overflow is an error.
#pragma once

#include <compare>

#include "template/jinja_ast.h"
#include "template/jinja_context.h"

namespace claa::jinja {

bool equal(Context& context, const Value& a, const Value& b);
// Fails for values without an order; unordered for NaN.
std::partial_ordering compare(Context& context, const Value& a, const Value& b);
bool contains(Context& context, const Value& item, const Value& container);

// kAdd ... kPower.
Value calculate(Context& context, Operator op, const Value& a, const Value& b);
Value negate(Context& context, const Value& value);
Value positive(Context& context, const Value& value);
// kEqual ... kNotIn.
bool test_relation(Context& context, Operator op, const Value& a, const Value& b);

// Python's printf-like formatting: `pattern % value`, where `value` is a tuple of values, a mapping, or one
// value.
Value format_percent(Context& context, const Text& pattern, const Value& value);
// pattern.format(...)
Value format_braces(Context& context, const Text& pattern, const Arguments& arguments);

}  // namespace claa::jinja
