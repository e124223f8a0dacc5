#include "io/json/json_outline.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

TEST(JsonOutlineTest, ANameAndAValuePerLine) {
  const auto object = nlohmann::ordered_json::parse(R"({"kind": "run", "bytes": 12, "names": ["a", "b"], "none": []})");
  EXPECT_EQ(json_outline(object), "kind                   run\n"
                                  "bytes                  12\n"
                                  "names                  [\"a\",\"b\"]\n"
                                  "none                   []\n");
}

TEST(JsonOutlineTest, AnObjectIsOnOneLineUnlessItHoldsOthers) {
  const auto object = nlohmann::ordered_json::parse(
      R"({"value": {"n": 2, "mean": 0.5}, "rewards": {"lexicon": {"n": 2}, "model": {"n": 3}, "unit": "score"}})");
  EXPECT_EQ(json_outline(object), "value                  n 2  mean 0.5\n"
                                  "rewards\n"
                                  "  lexicon                n 2\n"
                                  "  model                  n 3\n"
                                  "  unit                   score\n");
}

TEST(JsonOutlineTest, ObjectsOfAnArrayAreCountedAndStandOneToALine) {
  const auto object = nlohmann::ordered_json::parse(R"({"files": [{"name": "a", "bytes": 1}, {"name": "b"}]})");
  EXPECT_EQ(json_outline(object), "files (2)\n"
                                  "  name a  bytes 1\n"
                                  "  name b\n");
}

}  // namespace
}  // namespace troupe::io
