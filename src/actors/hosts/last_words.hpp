/// What a program has said on its standard error before it ended: since its exit status alone does not tell what was
/// wrong.
#pragma once

#include "actors/hosts/launcher_talk.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe::actors {

/// Fed with every line in its order, since what a line is may be told by those before it; of each kind it keeps the
/// last few.
class last_words {
public:
  /// `line`: without its newline.
  void hear(std::string_view line);

  /// The end of it all, 4 KiB at most.
  const std::string& text() const { return text_; }

  /// What it says of an error: the last of the lines in which a rank says why it ends, else of those that name an
  /// error, else of all that are not the launcher's; on one line, and cut short. Empty: nothing.
  std::string of_ranks() const;
  /// The same, or else what the launcher explains (launcher_talk.hpp).
  std::string of_anybody() const;

private:
  std::string text_;
  launcher_talk talk_;
  std::vector<std::string> reasons_, errors_, others_, of_launcher_;
};

}  // namespace troupe::actors
