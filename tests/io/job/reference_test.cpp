#include "io/chat/chat.hpp"
#include "io/job/job.hpp"
#include "io/job/options.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

namespace troupe::io {

static const std::string page = test_data() + "/../../docs/job-file.md";

TEST(JobReferenceTest, ThePageInDocsIsWhatTheTableSays) {
  if (std::getenv("TROUPE_WRITE_REFERENCE") != nullptr) {
    std::ofstream(page) << job_reference();
  }
  std::ostringstream text;
  text << std::ifstream(page).rdbuf();
  EXPECT_EQ(text.str(), job_reference()) << "docs/job-file.md is stale: run this test with "
                                            "TROUPE_WRITE_REFERENCE=1 and commit the page";
}

TEST(JobReferenceTest, EveryKeyIsThereOnceAndHasHelp) {
  std::set<std::string> seen;
  const std::string help = job_help();
  for (const option& row : job_options()) {
    const std::string name = row.full_name("NAME");
    EXPECT_TRUE(seen.insert(name).second) << name << " stands in the table twice";
    EXPECT_FALSE(row.help.empty()) << name;
    EXPECT_NE(help.find("--" + name + " "), std::string::npos) << name;
  }
}

TEST(JobReferenceTest, EveryRowIsInASectionThatIsWritten) {
  std::set<std::string_view> sections;
  for (const section_help& section : job_sections()) {
    sections.insert(section.name);
  }
  for (const option& row : job_options()) {
    EXPECT_TRUE(sections.count(row.section) == 1) << row.section;
  }
}

TEST(JobReferenceTest, ChatTemplatesAreListed) {
  for (const std::string_view name : chat_format::names()) {
    EXPECT_NE(job_reference().find(name), std::string::npos) << name;
  }
}

}  // namespace troupe::io
