// Errors name what is wrong and the line it is on.
#include "template/chat_template_support.h"

namespace claa {
namespace {

void expect_error(const std::string& source, const std::string& expected) {
  EXPECT_EQ(test::render_error(source), "chat template, " + expected) << source;
}

TEST(JinjaErrors, NameTheLineAndTheThing) {
  expect_error("a\n{{ x | nope }}", "line 2: there is no filter 'nope'");
  expect_error("a\n\n{{ x is nope }}", "line 3: there is no test 'nope'");
  expect_error("\n{% nope %}", "line 2: the tag 'nope' is unknown or has no place here");
  expect_error("\r\n\r\n{{ nope() }}", "line 3: 'nope' is undefined");
  expect_error("{{ x }}\n{{ nope.a }}", "line 2: 'nope' is undefined");
  expect_error("{{ messages[0].nope.a }}", "line 1: a value of type mapping has no attribute 'nope'");
  expect_error("{% if x %}\n{{ x | nope }}{% endif %}", "line 2: there is no filter 'nope'");
  expect_error("{% for i in [1] %}\n{{ 1 +\n 'a' }}{% endfor %}",
               "line 2: '+' does not work on a value of type integer and one of type string");
  expect_error("{{ 9223372036854775807 + 1 }}",
               "line 1: the result of '+' is out of the range of 64-bit integers");
  expect_error("{{ 9223372036854775808 }}", "line 1: the integer 9223372036854775808 is out of range");
  expect_error("{{ [].append(1) }}",
               "line 1: a template may not change a list; build a new one, e.g. with '+'");
  expect_error("{{ x | replace('a') }}", "line 1: replace() needs the argument 'new'");
  expect_error("{{ x | trim(nope=1) }}", "line 1: trim() got an argument it does not know, one of: nope");
  expect_error("{{ x.split(',', 'a') }}", "line 1: split() needs an integer for 'maxsplit', not a string");
}

TEST(JinjaErrors, CarryTheTextOfTheTemplate) {
  expect_error("{% if true %}\n{{ raise_exception('roles must alternate {}') }}{% endif %}",
               "line 2: roles must alternate {}");
}

TEST(JinjaErrors, OfSyntax) {
  expect_error("a\n{% if x %}\nb", "line 2: a block is not closed: 'endif' is missing");
  expect_error("\n{{ 1 +", "line 2: the tag is not closed");
  expect_error("\n{# a \n\n", "line 2: the comment is not closed");
  expect_error("{{ (1 }}", "line 1: unexpected '}'");
  expect_error("{{ 'a }}", "line 1: the string is not closed");
  expect_error("{{ 1 2 }}", "line 1: expected the end of the tag, not '2'");
  expect_error("{{ }}", "line 1: expected an expression, but the tag ends");
  expect_error("{{ $ }}", "line 1: unexpected character '$'");
  expect_error("{{ \x01 }}", "line 1: unexpected character with byte value 1");
  expect_error("{% endif %}", "line 1: the tag 'endif' is unknown or has no place here");
  expect_error("{% break %}", "line 1: 'break' outside of a loop");
  expect_error("{% set loop = 1 %}", "line 1: 'loop' cannot be assigned to");
  expect_error("{% raw %}\na", "line 1: {% raw %} is not closed");
}

TEST(JinjaErrors, IntegersAreChecked) {
  for (const char* source :
       {"{{ 9223372036854775807 * 2 }}", "{{ -9223372036854775807 - 2 }}", "{{ 2 ** 63 }}",
        "{{ 3 ** 9223372036854775807 }}", "{{ (-9223372036854775807 - 1) // -1 }}",
        "{{ -(-9223372036854775807 - 1) }}", "{{ '99999999999999999999' | int }}", "{{ 1e30 | int }}",
        "{{ (-9223372036854775807 - 1) | abs }}", "{{ 10.0 ** 400 }}", "{{ '%d' % 1e30 }}"}) {
    EXPECT_NE(test::render_error(source), "") << source;
  }
  EXPECT_EQ(test::joined(test::render_user(
                "{{ (-9223372036854775807 - 1) % -1 }}{{ '%x' % (-9223372036854775807 - 1) }}"
                "{{ 'abc'[-9223372036854775807:9223372036854775807:9223372036854775807] }}"
                "{{ 'abc'[::-9223372036854775807 - 1] }}{{ [1, 2][9223372036854775807:] }}",
                "")),
            "0-8000000000000000ac[]");
}

TEST(JinjaErrors, NothingOutsideIsReachable) {
  for (const char* source :
       {"{{ ''.__class__.__mro__ }}", "{{ messages.__class__() }}", "{{ self.x }}", "{{ cycler() }}",
        "{{ lipsum() }}", "{{ namespace.__init__() }}", "{% include 'a' %}", "{% import 'a' as b %}",
        "{% extends 'a' %}", "{{ x | attr('__class__') }}", "{{ x.encode() }}", "{{ open('a') }}"}) {
    EXPECT_NE(test::render_error(source), "") << source;
  }
}

}  // namespace
}  // namespace claa
