/// Data for runs whose data do not matter.
#pragma once

#include <filesystem>
#include <fstream>

namespace troupe::test {

/// Writes records of format prompt-answer, no two alike.
inline void write_stories(const std::filesystem::path& file, int count) {
  std::ofstream lines(file);
  for (int i = 0; i < count; ++i) {
    lines << R"({"prompt": "Once upon a time there were )" << i << R"( dogs.", "answer": " They liked to play."})"
          << '\n';
  }
}

}  // namespace troupe::test
