#include "base/error.hpp"
#include "io/files/mapped_file.hpp"
#include "io/jinja/template.hpp"
#include "io/jinja/value.hpp"
#include "io/json/json.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace troupe::io::jinja {
namespace {

using nlohmann::ordered_json;
using variable_list = std::vector<std::pair<std::string, value>>;

variable_list variables_of(const ordered_json& held) {
  variable_list variables;
  for (const auto& [name, one] : held.items()) {
    variables.emplace_back(name, from_json(one, from_data));
  }
  return variables;
}

std::string rendered(std::string_view source, const ordered_json& held = ordered_json::object(),
                     const std::string& date = "") {
  return program(source, "t").render(variables_of(held), date).bytes();
}

/// What compiling or rendering reports; empty where it reports nothing.
std::string fault(std::string_view source, const ordered_json& held = ordered_json::object()) {
  try {
    rendered(source, held);
  } catch (const error& problem) {
    return problem.what();
  }
  return "";
}

/// What Jinja2 made of the templates and conversations of tests/data/templates: see make_goldens.py.
class GoldensTest : public testing::Test {
protected:
  static std::filesystem::path folder() { return std::filesystem::path(test_data()) / "templates"; }

  GoldensTest()
      : conversations_(parse_ordered_json(read_text_file(folder() / "conversations.json"), "conversations")) {}

  /// Errors end in an empty optional and set `fault`.
  std::optional<std::string> render(const ordered_json& golden, std::string& fault) {
    ordered_json held = {{"tools", nullptr}, {"documents", nullptr}};
    held.update(conversations_.at(golden.at("conversation").get<std::string>()));
    held.update({{"bos_token", "<s>"},
                 {"eos_token", "</s>"},
                 {"unk_token", "<unk>"},
                 {"add_generation_prompt", golden.at("add_generation_prompt")}});
    try {
      return program_of(golden.at("template").get<std::string>()).render(variables_of(held), "2024-11-28").bytes();
    } catch (const error& problem) {
      fault = problem.what();
      return std::nullopt;
    }
  }

private:
  const program& program_of(const std::string& name) {
    const auto known = programs_.find(name);
    return known != programs_.end()
               ? known->second
               : programs_.emplace(name, program(read_text_file(folder() / (name + ".jinja")), name)).first->second;
  }

  ordered_json conversations_;
  std::map<std::string, program> programs_;
};

TEST_F(GoldensTest, EveryTemplateWritesWhatJinja2Writes) {
  std::ifstream file(folder() / "goldens.jsonl");
  std::map<std::string, int> templates;
  for (std::string line; std::getline(file, line);) {
    const ordered_json golden = ordered_json::parse(line);
    std::string fault;
    const auto text = render(golden, fault);
    const std::string name = golden.at("template").get<std::string>();
    if (golden.contains("text")) {
      ASSERT_TRUE(text.has_value()) << line << "\n" << fault;
      EXPECT_EQ(*text, golden.at("text").get<std::string>()) << name << ", " << golden.at("conversation");
    } else {
      EXPECT_FALSE(text.has_value()) << line;
      EXPECT_NE(fault.find(golden.at("error").get<std::string>()), std::string::npos) << fault;
    }
    ++templates[name];
  }
  EXPECT_GE(templates.size(), 40U);
}

TEST(TemplateTest, ControlsWhiteSpaceAsTransformersDoes) {
  EXPECT_EQ(rendered("{% if true %}\n  a\n  {% endif %}\nb\n"), "  a\nb")
      << "trim_blocks, lstrip_blocks, last line break";
  EXPECT_EQ(rendered("a \n {%- if true -%} \n b{% endif %}"), "ab");
  EXPECT_EQ(rendered("  {%+ if true +%}\nb{% endif %}"), "  \nb");
  EXPECT_EQ(rendered("a\r\nb{# note #}\nc {{- 'd' -}} \n e"), "a\nbcde");
  EXPECT_EQ(rendered("{% raw %}{{ x }}{% endraw %}"), "{{ x }}");
}

TEST(TemplateTest, PrintsValuesAsPythonDoes) {
  EXPECT_EQ(rendered("{{ 1.0 }} {{ 1e16 }} {{ 0.00001 }} {{ 100000.5 }} {{ true }} {{ none }} {{ x }}|"),
            "1.0 1e+16 1e-05 100000.5 True None |");
  EXPECT_EQ(rendered("{{ v }}", {{"v", {{"a", {1, 2.5, nullptr, "it's", "\"", "\n\u00a0é"}}}}}),
            "{'a': [1, 2.5, None, \"it's\", '\"', '\\n\\xa0é']}");
  EXPECT_EQ(rendered("{{ (1,) }}{{ () }}{{ [()] }}"), "(1,)()[()]");
  EXPECT_EQ(rendered("{{ v | tojson }}", {{"v", {{"b", "é\u0001\"<"}, {"a", {true, nullptr, 0.5}}}}}),
            "{\"b\": \"é\\u0001\\\"<\", \"a\": [true, null, 0.5]}");
  EXPECT_EQ(rendered("{{ {'b': [], 'a': {'c': 1}} | tojson(indent=2, sort_keys=true) }}"),
            "{\n  \"a\": {\n    \"c\": 1\n  },\n  \"b\": []\n}");
}

TEST(TemplateTest, CalculatesAsPythonDoes) {
  EXPECT_EQ(rendered("{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ -2.5 % 2 }}"),
            "-4 2 -2 3.5 1024 1.5");
  EXPECT_EQ(rendered("{{ 'ab' * 2 }}{{ [1] + [2] }}{{ '%s=%05.1f' % ('x', 2.25) }}{{ 1 < 2 < 3 }}{{ 'b' in 'abc' }}"),
            "abab[1, 2]x=002.2TrueTrue");
  EXPECT_EQ(rendered("{{ 'häß'[::-1] }}{{ 'abcdef'[-2:0:-2] }}{{ [0, 1, 2, 3][1:-1] }}"), "ßähec[1, 2]");
}

TEST(TemplateTest, KeepsNamesInTheirBlocks) {
  EXPECT_EQ(rendered("{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 9 %}{{ x }}{% endfor %}{{ x }}"), "19191");
  EXPECT_EQ(rendered("{% if true %}{% set x = 2 %}{% endif %}{{ x }}"), "2");
  EXPECT_EQ(rendered("{% set n = namespace(x=0) %}{% for i in [1, 2] %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}"),
            "3");
  EXPECT_EQ(
      rendered("{% macro m(a, b=a ~ '!') %}{{ a }}{{ b }}{{ later }}{% endmacro %}{% set later = 5 %}{{ m('x') }}"),
      "xx!5");
}

TEST(TemplateTest, TellsWhereAndWhat) {
  EXPECT_EQ(fault("a\n{% if x %}\nb"), "t, line 3: {% endif %} is missing");
  EXPECT_EQ(fault("\n{{ 'a }}"), "t, line 2: a text is not closed: its quote is missing");
  EXPECT_EQ(fault("{{ x | rot13 }}").substr(0, 59), "t, line 1: there is no filter \"rot13\" (known: abs, batch, c");
  EXPECT_EQ(fault("{% include 'x' %}").substr(0, 54), "t, line 1: the tag {% include %} is not known here (kn");
  EXPECT_EQ(fault("\n\n{{ x.y.z }}", {{"x", ordered_json::object()}}), "t, line 3: 'dict object' has no attribute 'y'");
  EXPECT_EQ(fault("{{ raise_exception('No ' ~ 'tools') }}"), "t, line 1: No tools");
  EXPECT_EQ(fault("{{ 'a' + 1 }}"), "t, line 1: unsupported operand type(s) for +: 'str' and 'int'");
  EXPECT_EQ(
      fault("{{ strftime_now('%Y') }}"),
      "t, line 1: the template asks for today's date, and none is given: set template-date (in a job) or --date to "
      "YYYY-MM-DD");
  EXPECT_EQ(fault("{{ [1].append(2) }}"),
            "t, line 1: access to attribute 'append' of 'list' object is unsafe: values cannot be changed");
}

TEST(TemplateTest, TakesTheDateThatItIsGiven) {
  EXPECT_EQ(rendered("{{ strftime_now('%d %b %Y, %A') }}", ordered_json::object(), "2024-02-29"),
            "29 Feb 2024, Thursday");
  EXPECT_THROW(rendered("{{ strftime_now('%d') }}", ordered_json::object(), "2023-02-29"), error);
}

TEST(TemplateTest, EndsWhatWouldNotEnd) {
  const auto has = [](std::string_view source, std::string_view part) {
    const std::string found = fault(source);
    EXPECT_NE(found.find(part), std::string::npos) << source << "\n" << found;
  };
  has("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 1000000 steps");
  has("{% set n = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
      "more than 16777216 bytes");
  has("{{ 'a' * 999999999 }}", "more than 16777216 bytes");
  has("{{ '%999999999d' % 1 }}", "more than 16777216 bytes");
  has("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "macros call macros more than 64 deep");
  has(std::string("{{ ") + std::string(100, '(') + "1" + std::string(100, ')') + " }}", "nested more than 64 deep");
  has("{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% endfor %}", "more than 100 deep");
  has("{{ 9223372036854775807 + 1 }}", "beyond 64 bits");
  has("{{ range(100001) }}", "more than 100000 items");
}

TEST(TemplateTest, FreesWhatHoldsItself) {  // the leak checker of the sanitizer build looks on
  EXPECT_EQ(rendered("{% set n = namespace() %}{% set n.me = n %}{% macro m() %}{% endmacro %}{% set n.m = m %}"
                     "{% for i in [1] %}{{ loop.changed(loop) }}{% endfor %}"),
            "True");
}

}  // namespace
}  // namespace troupe::io::jinja
