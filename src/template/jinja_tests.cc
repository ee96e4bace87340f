// Tests: `value is name`.
#include <algorithm>

#include "template/jinja_access.h"
#include "template/jinja_filters.h"
#include "template/jinja_operators.h"
#include "template/jinja_print.h"
#include "text/unicode.h"

namespace claa::jinja {
namespace {

template <bool (*kHolds)(const Value&)>
Value test_type(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "a test of a type", arguments).done();
  return Value(kHolds(subject));
}

bool is_defined(const Value& value) {
  return !value.is_undefined();
}
bool is_undefined(const Value& value) {
  return value.is_undefined();
}
bool is_none(const Value& value) {
  return value.is_none();
}
bool is_string(const Value& value) {
  return value.text() != nullptr;
}
bool is_mapping(const Value& value) {
  return value.dict() != nullptr;
}
bool is_sequence(const Value& value) {
  return value.text() != nullptr || value.list() != nullptr || value.dict() != nullptr ||
         value.is_undefined();
}
bool is_number(const Value& value) {
  return value.is_number();
}
bool is_integer(const Value& value) {
  return value.is_int();
}
bool is_float(const Value& value) {
  return value.is_float();
}
bool is_boolean(const Value& value) {
  return value.is_bool();
}
bool is_true(const Value& value) {
  return value.is_bool() && value.as_integer() != 0;
}
bool is_false(const Value& value) {
  return value.is_bool() && value.as_integer() == 0;
}
bool is_callable(const Value& value) {
  return value.callable() != nullptr;
}

template <Operator kOperator>
Value test_relation_to(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "a comparing test", arguments);
  const Value& other = reader.required("other");
  reader.done();
  return Value(test_relation(context, kOperator, subject, other));
}

Value test_same(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "sameas", arguments);
  const Value& other = reader.required("other");
  reader.done();
  return Value(subject.data().index() == other.data().index() && equal(context, subject, other));
}

Value divides(Context& context, const Value& subject, const Value& divisor, int64_t remainder) {
  const Value rest = calculate(context, Operator::kModulo, subject, divisor);
  if (!rest.is_number()) context.fail("the test needs a number, not a {}", type_name(subject));
  return Value(rest.as_double() == static_cast<double>(remainder));
}

Value test_divisible(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader reader(context, "divisibleby", arguments);
  const Value& divisor = reader.required("num");
  reader.done();
  return divides(context, subject, divisor, 0);
}

template <int64_t kRemainder>
Value test_parity(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "a test of parity", arguments).done();
  return divides(context, subject, Value(int64_t{2}), kRemainder);
}

// islower, isupper: there is a cased letter, and none of the other case.
template <bool (*kWanted)(int32_t), bool (*kOther)(int32_t)>
Value test_case(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "a test of case", arguments).done();
  const TextPtr text = to_text(context, subject);
  context.step_bytes(text->size());
  bool found = false;
  CharReader reader(*text);
  for (Char c; reader.next(c);) {
    if (kOther(c.code)) return Value(false);
    found = found || kWanted(c.code);
  }
  return Value(found);
}

template <FunctionPtr (*kFind)(std::string_view)>
Value test_known(Context& context, const Value& subject, const Arguments& arguments) {
  ArgumentReader(context, "filter", arguments).done();
  return Value(subject.text() != nullptr && kFind(subject.text()->view()) != nullptr);
}

constexpr NamedFunction kTests[] = {
    {"defined", test_type<is_defined>},
    {"undefined", test_type<is_undefined>},
    {"none", test_type<is_none>},
    {"string", test_type<is_string>},
    {"mapping", test_type<is_mapping>},
    {"iterable", test_type<is_sequence>},
    {"sequence", test_type<is_sequence>},
    {"number", test_type<is_number>},
    {"integer", test_type<is_integer>},
    {"float", test_type<is_float>},
    {"boolean", test_type<is_boolean>},
    {"true", test_type<is_true>},
    {"false", test_type<is_false>},
    {"callable", test_type<is_callable>},
    {"odd", test_parity<1>},
    {"even", test_parity<0>},
    {"divisibleby", test_divisible},
    {"sameas", test_same},
    {"lower", test_case<is_lower, is_upper>},
    {"upper", test_case<is_upper, is_lower>},
    {"filter", test_known<find_filter>},
    {"test", test_known<find_test>},
    {"eq", test_relation_to<Operator::kEqual>},
    {"equalto", test_relation_to<Operator::kEqual>},
    {"==", test_relation_to<Operator::kEqual>},
    {"ne", test_relation_to<Operator::kNotEqual>},
    {"!=", test_relation_to<Operator::kNotEqual>},
    {"lt", test_relation_to<Operator::kLess>},
    {"lessthan", test_relation_to<Operator::kLess>},
    {"<", test_relation_to<Operator::kLess>},
    {"le", test_relation_to<Operator::kLessEqual>},
    {"<=", test_relation_to<Operator::kLessEqual>},
    {"gt", test_relation_to<Operator::kGreater>},
    {"greaterthan", test_relation_to<Operator::kGreater>},
    {">", test_relation_to<Operator::kGreater>},
    {"ge", test_relation_to<Operator::kGreaterEqual>},
    {">=", test_relation_to<Operator::kGreaterEqual>},
    {"in", test_relation_to<Operator::kIn>},
};

}  // namespace

FunctionPtr find_test(std::string_view name) {
  return find_function(kTests, name);
}

}  // namespace claa::jinja
