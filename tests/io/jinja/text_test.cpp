#include "io/jinja/template.hpp"
#include "io/jinja/text.hpp"
#include "io/jinja/value.hpp"

#include <gtest/gtest.h>

namespace troupe::io::jinja {
namespace {

/// The marks of what a template makes of x = "<e>Nd é", a text from the data: T a template's byte, d one of the data.
std::string origins(std::string_view source) {
  const text out = program(source, "t").render({{"x", value(text("<e>Nd é", from_data))}}, "");
  std::string letters;
  for (const uint8_t mark : out.marks()) {
    letters += (mark & from_data) != 0 ? 'd' : 'T';
  }
  return out.bytes() + " " + letters;
}

TEST(TextTest, RemembersWhereBytesCameFrom) {
  EXPECT_EQ(origins("a{{ x }}b"), "a<e>Nd éb TddddddddT");
  EXPECT_EQ(origins("{{ '<' ~ x[1:2] + '>' }}"), "<e> TdT");
  EXPECT_EQ(origins("{{ x | upper }}"), "<E>ND É dddddddd");
  EXPECT_EQ(origins("{{ (' ' + x + ' ') | trim }}"), "<e>Nd é dddddddd");
  EXPECT_EQ(origins("{{ x.replace('N', 'm') }}"), "<e>md é dddTdddd");
  EXPECT_EQ(origins("{{ x.split(' ') | join('|') }}"), "<e>Nd|é dddddTdd");
  EXPECT_EQ(origins("{{ [x] | tojson }}"), "[\"<e>Nd é\"] TTddddddddTT");
  EXPECT_EQ(origins("{{ [x] }}"), "['<e>Nd é'] TTddddddddTT");
  EXPECT_EQ(origins("{{ '%s!' % x }}"), "<e>Nd é! ddddddddT");
  EXPECT_EQ(origins("{{ '{}!'.format(x) }}"), "<e>Nd é! ddddddddT");
  EXPECT_EQ(origins("{% set y %}({{ x[:2] }}){% endset %}{{ y * 2 }}"), "(<e)(<e) TddTTddT");
  EXPECT_EQ(origins("{% macro m(a) %}{{ a | title }}{{ caller() }}{% endmacro %}{% call m(x[3:]) %}.{% endcall %}"),
            "Nd É. dddddT");
  EXPECT_EQ(origins("{{ x | list | reverse | join }}"), "é dN>e< dddddddd");
  EXPECT_EQ(origins("{{ x[4:] | indent(1, true) }}{{ x.center(10, '-')[:2] }}"), " d é-< TddddTd");
  EXPECT_EQ(origins("{{ {x: 1} | tojson }}{{ {'k': x}.k[0] }}"), "{\"<e>Nd é\": 1}< TTddddddddTTTTTd");
  EXPECT_EQ(origins("{{ x | safe }}{{ x[:1] | escape }}"), "<e>Nd é&lt; dddddddddddd");
}

TEST(TextTest, MarksWhatIsGenerated) {
  const text out = program("a{% generation %}{{ x }}!{% endgeneration %}b", "t").render({{"x", make_text("yz")}}, "");
  std::string letters;
  for (const uint8_t mark : out.marks()) {
    letters += (mark & generated) != 0 ? 'g' : '-';
  }
  EXPECT_EQ(out.bytes() + letters, "ayz!b-ggg-");
}

TEST(TextTest, TakesPartsThatReachBeyondTheEnd) {
  const text whole("abc", from_data);
  EXPECT_EQ(whole.part(1).bytes(), "bc");
  EXPECT_EQ(whole.part(2, 9).marks().size(), 1U);
  EXPECT_TRUE(whole.part(5).empty());
}

TEST(TextTest, StripsAndReplacesByCharacters) {
  const std::string chars = "é<";
  EXPECT_EQ(strip(text("é<aé"), &chars, true, true).bytes(), "a");
  EXPECT_EQ(strip(text("\u3000\u00a0a \x1f"), nullptr, true, true).bytes(), "a");
  EXPECT_EQ(replace(text("é"), text(""), text("-"), -1).bytes(), "-é-");
  EXPECT_EQ(replace(text("aaaa"), text("aa"), text("b"), 1).bytes(), "baa");
}

}  // namespace
}  // namespace troupe::io::jinja
