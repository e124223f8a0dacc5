// What a user types after a command's name.
#include "jobs/arguments.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

namespace po = boost::program_options;

class Arguments : public ::testing::Test {
protected:
  /// Parses what stands after "troupe greet": positional NAME, and --times.
  bool parse(std::vector<std::string> words) {
    words.insert(words.begin(), "greet");
    std::vector<char*> pointers;
    for (std::string& word : words) {
      pointers.push_back(word.data());
    }
    po::options_description options("Options");
    options.add_options()("times", po::value<int>()->default_value(1), "how often");
    return parse_arguments(static_cast<int>(pointers.size()), pointers.data(), "troupe greet NAME", options, {"NAME"},
                           values);
  }

  po::variables_map values;
};

TEST_F(Arguments, PlacesAndOptionsInAnyOrder) {
  ASSERT_TRUE(parse({"--times", "3", "Ada"}));
  EXPECT_EQ(required_argument(values, "NAME"), "Ada");
  EXPECT_EQ(values["times"].as<int>(), 3);
}

TEST_F(Arguments, HelpShowsUsageAndOptionsButNotThePlaces) {
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(parse({"Ada", "--help"}));
  const std::string shown = ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(shown.rfind("troupe greet NAME\n", 0), 0U) << shown;
  EXPECT_NE(shown.find("how often"), std::string::npos) << shown;
  EXPECT_EQ(shown.find("--NAME"), std::string::npos) << shown;
}

TEST_F(Arguments, WhatCannotBeMeantIsAnErrorOfUse) {
  const std::pair<std::vector<std::string>, std::string> wrong[] = {{{"--tmies", "3"}, "unrecognised option '--tmies'"},
                                                                    {{"--times", "thrice"}, "('thrice')"},
                                                                    {{"Ada", "Grace"}, "too many positional options"}};
  for (const auto& [words, said] : wrong) {
    values.clear();
    try {
      parse(words);
      ADD_FAILURE() << said;
    } catch (const usage_error& failure) {
      const std::string text = failure.what();
      EXPECT_NE(text.find(said), std::string::npos) << text;
      EXPECT_NE(text.find("see troupe greet --help"), std::string::npos) << text;
    }
  }
}

TEST_F(Arguments, AMissingPlaceIsNamed) {
  ASSERT_TRUE(parse({}));
  EXPECT_THROW(required_argument(values, "NAME"), usage_error);
}

TEST(FromUser, ErrorsOfReadingBecomeErrorsOfUse) {
  EXPECT_EQ(from_user([] { return 7; }), 7);
  EXPECT_THROW(from_user([]() -> int { throw error(errc::not_found, "there is no x"); }), usage_error);
}

}  // namespace
}  // namespace troupe
