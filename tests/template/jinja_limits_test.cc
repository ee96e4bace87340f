// Templates that would never end, or fill the memory: each must stop soon, with an error.
#include "template/chat_template_support.h"

#include <chrono>

namespace claa {
namespace {

using test::render_error;

std::string repeat(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

void expect_stops(const std::string& source, const std::string& reason, TemplateLimits limits = {}) {
  SCOPED_TRACE(source.substr(0, 120));
  const auto begin = std::chrono::steady_clock::now();
  const std::string error = render_error(source, limits);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  EXPECT_NE(error.find(reason), std::string::npos) << "error: " << error;
  EXPECT_LT(seconds.count(), 60);
}

TEST(JinjaLimits, Steps) {
  const std::string reason = "more than 10000000 steps";
  expect_stops("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", reason);
  expect_stops("{% for i in range(99999999999) %}{% endfor %}", reason);
  expect_stops("{{ range(-9223372036854775807, 9223372036854775807) }}", reason);
  expect_stops("{{ [0] * 9223372036854775807 }}", reason);
  expect_stops("{{ [0] * 9000000000000000000 * 0 }}", reason);
  expect_stops(
      "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
      reason);
  expect_stops("{% set l = range(3000) | list %}{% for i in l %}{{ l | unique | list | length }}{% endfor %}",
               reason);
  expect_stops(
      "{% set l = range(3000) | list %}{% for i in l %}{% for j in l if j in l %}{% endfor %}{% endfor %}",
      reason);
  expect_stops(
      "{% set ns = namespace(v=1) %}{% for i in range(99) %}{% set ns.v = [ns.v, ns.v] %}{% endfor %}"
      "{{ ns.v == ns.v + [] }}",
      reason);
}

TEST(JinjaLimits, StepsOfWorkOnText) {
  const std::string reason = "more than 10000000 steps";
  const std::string big = "{% set s = 'a' * 30000000 %}";
  expect_stops(big + "{% for i in range(100000) %}{% if s ~ i == s %}{% endif %}{% endfor %}", reason);
  expect_stops(big + "{% for i in range(100000) %}{% if 'b' in s %}{% endif %}{% endfor %}", reason);
  expect_stops(big + "{% for i in range(100000) %}{{ s | length }}{% endfor %}", reason);
  expect_stops(big + "{% for i in range(100000) %}{{ s[-1] }}{% endfor %}", reason);
  expect_stops(big + "{% for i in range(100000) %}{{ s.count('b') }}{{ s.rfind('b') }}{% endfor %}", reason);
  expect_stops(big + "{{ s.split('a') | length }}", reason);
  expect_stops(big + "{% for c in s %}{% endfor %}", reason);
  expect_stops(big + "{% for i in range(100000) %}{% if s.strip('ba') %}{% endif %}{% endfor %}", reason);
  expect_stops(big + "{% for i in range(100000) %}{% if s.startswith(s) %}{% endif %}{% endfor %}", reason);
  expect_stops(big + "{% for i in range(100000) %}{% if s | upper %}{% endif %}{% endfor %}", reason);
  // The worst case of a naive search: a long needle that nearly fits everywhere.
  expect_stops(
      big +
          "{% set n = 'a' * 9000000 ~ 'b' %}{% for i in range(1000) %}{% if n in s %}{% endif %}{% endfor %}",
      reason);
}

TEST(JinjaLimits, SizeOfText) {
  const std::string reason = "the text grows beyond 67108864 bytes";
  TemplateLimits many_steps;
  many_steps.max_steps = 1'000'000'000;
  expect_stops("{{ 'ab' * 9223372036854775807 }}", reason);
  expect_stops("{{ 'ab' * 40000000 }}", reason);
  expect_stops(
      "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      reason, many_steps);
  expect_stops(
      "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      reason, many_steps);
  expect_stops("{% set s = 'a' * 1000000 %}{% for i in range(1000) %}{{ s }}{% endfor %}", reason);
  expect_stops("{% set s = 'a' * 1000000 %}{{ ([s] * 1000) | join }}", reason);
  expect_stops("{% set s = 'a' * 1000000 %}{{ s | replace('a', s) }}", reason);
  expect_stops("{% set s = 'a' * 1000000 %}{{ ('\n' * 1000) | indent(s, blank=true) }}", reason);
  expect_stops("{{ 'a' | indent(99999999999) }}", reason);
  expect_stops("{{ [1] | tojson(indent=99999999999) }}", reason);
  expect_stops(
      "{% macro m() %}{{ 'a' * 1000000 }}{{ m() if false }}{% endmacro %}"
      "{% for i in range(100) %}{{ m() }}{% endfor %}",
      reason, many_steps);
  expect_stops(
      "{% set ns = namespace(v='a') %}{% for i in range(99) %}{% set ns.v = [ns.v, ns.v] %}{% endfor %}{{ "
      "ns.v }}",
      "");
  expect_stops("{{ '%1000001d' % 1 }}", "more than 1000000 characters");
  expect_stops("{{ '{:99999999999999999999}'.format(1) }}", "more than 1000000 characters");
}

TEST(JinjaLimits, SmallLimitsAreKept) {
  TemplateLimits limits;
  limits.max_output = 10;
  EXPECT_EQ(render_error("{{ '0123456789' }}", limits), "");
  EXPECT_NE(render_error("{{ '0123456789' }}a", limits), "");
  EXPECT_NE(render_error("{{ '01234567890' }}", limits), "");
  limits = {};
  limits.max_steps = 200;
  EXPECT_EQ(render_error("{{ x }}", limits), "");
  EXPECT_NE(render_error("{% for i in range(50) %}{% endfor %}", limits), "");
}

TEST(JinjaLimits, DepthOfSource) {
  const std::string reason = "nested deeper than 256 levels";
  for (const int depth : {300, 30000}) {
    expect_stops("{{ " + repeat("(", depth) + "1" + repeat(")", depth) + " }}", reason);
    expect_stops("{{ " + repeat("[", depth) + "1" + repeat("]", depth) + " }}", reason);
    expect_stops("{{ " + repeat("{1:", depth) + "1" + repeat("}", depth) + " }}", reason);
    expect_stops("{{ x" + repeat("[x", depth) + repeat("]", depth) + " }}", reason);
    expect_stops("{{ x" + repeat("(x", depth) + repeat(")", depth) + " }}", reason);
    expect_stops("{{ " + repeat("-", depth) + "1 }}", reason);
    expect_stops("{{ " + repeat("not ", depth) + "1 }}", reason);
    expect_stops("{{ " + repeat("1 if 1 else ", depth) + "1 }}", reason);
    expect_stops("{{ 1" + repeat(" + 1", depth) + " }}", reason);
    expect_stops("{{ 1" + repeat(" ** 1", depth) + " }}", reason);
    expect_stops("{{ 1" + repeat(" and 1", depth) + " }}", reason);
    expect_stops("{{ x" + repeat(".x", depth) + " }}", reason);
    expect_stops("{{ x" + repeat("|trim", depth) + " }}", reason);
    expect_stops("{{ x" + repeat("()", depth) + " }}", reason);
    expect_stops("{{ 1" + repeat(" if 1", depth) + " }}", reason);
    expect_stops("{% for " + repeat("(", depth) + "a" + repeat(")", depth) + " in x %}{% endfor %}", reason);
    expect_stops(repeat("{% if 1 %}", depth) + repeat("{% endif %}", depth), reason);
    expect_stops(repeat("{% if 1 %}{% else %}", depth) + repeat("{% endif %}", depth), reason);
    expect_stops(repeat("{% for i in x %}", depth) + repeat("{% endfor %}", depth), reason);
    expect_stops(repeat("{% filter trim %}", depth) + repeat("{% endfilter %}", depth), reason);
  }
  EXPECT_EQ(render_error("{{ " + repeat("(", 200) + "1" + repeat(")", 200) + " }}"), "");
  EXPECT_EQ(render_error("{{ 1" + repeat(" ~ 1", 20000) + " }}"), "");
  EXPECT_EQ(render_error("{% if 0 %}" + repeat("{% elif 0 %}", 20000) + "{% endif %}"), "");
}

TEST(JinjaLimits, DepthOfRendering) {
  const std::string reason = "nested deeper than 256 levels";
  expect_stops("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", reason);
  expect_stops("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
               reason);
  expect_stops("{% macro m() %}{% call m() %}{% endcall %}{{ caller }}{% endmacro %}{{ m() }}", reason);
  expect_stops("{% macro m(a=m()) %}{% endmacro %}{{ m() }}", reason);
  const std::string grow = "{% set ns = namespace(v=1) %}{% for i in range(9999) %}{% set ns.v = ";
  expect_stops(grow + "[ns.v] %}{% endfor %}", reason);
  expect_stops(grow + "(ns.v,) %}{% endfor %}", reason);
  expect_stops(grow + "{'a': ns.v} %}{% endfor %}", reason);
  expect_stops(grow + "{'a': ns.v}.get %}{% endfor %}", reason);
  expect_stops(grow + "[ns.v, loop] %}{% endfor %}", reason);
  expect_stops(
      "{% set ns = namespace(v=[1]) %}{% for i in range(9999) %}{% for j in [ns.v] %}{% set ns.v = loop %}"
      "{% endfor %}{% endfor %}",
      reason);
  expect_stops("{{ [[[1]]] | map('map', 'map', 'map', 'map') | list }}", "");
}

TEST(JinjaLimits, DepthOfDataGiven) {
  TemplateValue deep{int64_t{1}};
  for (int i = 0; i < 300; ++i) deep = TemplateValue{TemplateValue::Array{std::move(deep)}};
  TemplateVariables variables;
  variables.extra.push_back({"deep", std::move(deep)});
  EXPECT_THROW(ChatTemplate("").render({}, variables), Error);
}

TEST(JinjaLimits, CyclesThroughNamespacesAreFreed) {
  EXPECT_EQ(render_error("{% set a = namespace() %}{% set a.a = a %}{% macro m() %}{{ a }}{% endmacro %}"
                         "{% set a.m = m %}{% set a.l = [a, m] %}"
                         "{% for i in range(9) %}{% macro n() %}{{ i }}{% endmacro %}{% set a.n = n %}{% "
                         "endfor %}{{ a.n() }}"),
            "");
}

TEST(JinjaLimits, SourceSize) {
  EXPECT_EQ(render_error(std::string(1 << 20, 'a')), "");
  expect_stops(std::string((1 << 20) + 1, 'a'), "1048577 bytes");
}

}  // namespace
}  // namespace claa
