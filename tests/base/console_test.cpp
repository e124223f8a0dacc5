// What a program says while it works, on a terminal (a pseudo-terminal's) and into a file.
#include "base/console.hpp"
#include "base/error.hpp"
#include "support/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace troupe {

/// A terminal of so many columns.
class pseudo_terminal {
public:
  explicit pseudo_terminal(unsigned short columns) : outer_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    ::grantpt(outer_.get());
    ::unlockpt(outer_.get());
    inner_ = descriptor(::open(::ptsname(outer_.get()), O_RDWR | O_NOCTTY));
    termios plain{};
    ::tcgetattr(inner_.get(), &plain);
    plain.c_oflag &= ~static_cast<tcflag_t>(OPOST);
    ::tcsetattr(inner_.get(), TCSANOW, &plain);
    resize(columns);
    ::fcntl(outer_.get(), F_SETFL, O_NONBLOCK);
  }
  void resize(unsigned short columns) const {
    const winsize size{.ws_row = 24, .ws_col = columns};
    ::ioctl(inner_.get(), TIOCSWINSZ, &size);
  }
  int end() const { return inner_.get(); }
  /// What has been written since the last time.
  std::string shown() const {
    char text[4096];
    const ssize_t got = ::read(outer_.get(), text, sizeof(text));
    return got > 0 ? std::string(text, static_cast<size_t>(got)) : "";
  }

private:
  descriptor outer_, inner_;
};

static std::string text_of(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

static const std::string clear = "\r\033[K";

TEST(Console, ALineIsCutBetweenCharacters) {
  EXPECT_EQ(cut_to_width("abc", 5), "abc");
  EXPECT_EQ(cut_to_width("abc", 2), "ab");
  EXPECT_EQ(cut_to_width("a\xC3\xA4"
                         "b",
                         2),
            "a\xC3\xA4");
  EXPECT_EQ(cut_to_width("abc", 0), "");
  EXPECT_EQ(cut_to_width("abc", -1), "");
}

TEST(Console, ProgressIsDrawnInItsPlaceAndCutToTheWidthThatTheTerminalHasNow) {
  const pseudo_terminal terminal(11);
  console words({.descriptor = terminal.end(), .terminal = true});
  words.show("0123456789abc");
  EXPECT_EQ(terminal.shown(), clear + "0123456789") << "the last column stays free";
  terminal.resize(5);
  words.show("0123456789abc");
  EXPECT_EQ(terminal.shown(), clear + "0123");
}

TEST(Console, LinesGoAboveTheProgress) {
  const pseudo_terminal terminal(80);
  {
    console words({.descriptor = terminal.end(), .terminal = true});
    words.say(weight::detail, "first");
    EXPECT_EQ(terminal.shown(), "first\n");
    words.show("so far");
    terminal.shown();
    words.say(weight::detail, "second");
    EXPECT_EQ(terminal.shown(), clear + "second\n" + clear + "so far");
    words.show("");
    EXPECT_EQ(terminal.shown(), clear);
    words.say(weight::detail, "third");
    EXPECT_EQ(terminal.shown(), "third\n");
    words.show("the end");
    terminal.shown();
  }
  EXPECT_EQ(terminal.shown(), "\n") << "the shell's prompt begins on a line of its own";
}

TEST(Console, WhereThereIsNoTerminalThereIsNoProgress) {
  const pseudo_terminal terminal(80);
  console words({.descriptor = terminal.end(), .terminal = false});
  words.show("so far");
  EXPECT_EQ(terminal.shown(), "");
}

TEST(Console, QuietTellsOfTroubleOnlyAndTheLogOfAll) {
  const test::temporary_folder folder;
  const pseudo_terminal terminal(80);
  console words({.descriptor = terminal.end(), .terminal = true, .quiet = true});
  words.keep_log((folder / "log.txt").string(), "head");
  words.say(weight::detail, "a detail");
  words.say(weight::trouble, "\033[33mtrouble\033[m", "trouble");
  words.show("so far");
  words.note("for the log");
  EXPECT_EQ(terminal.shown(), "\033[33mtrouble\033[m\n");
  EXPECT_EQ(text_of(folder / "log.txt"), "head\na detail\ntrouble\nfor the log\n");
}

TEST(Console, TheLogGoesOnWhereItWasAndFollowsNoLink) {
  const test::temporary_folder folder;
  for (const char* head : {"one", "two"}) {
    console({.descriptor = -1}).keep_log((folder / "log.txt").string(), head);
  }
  EXPECT_EQ(text_of(folder / "log.txt"), "one\ntwo\n");
  std::filesystem::create_symlink(folder / "elsewhere", folder / "link");
  EXPECT_THROW(console({.descriptor = -1}).keep_log((folder / "link").string(), "x"), error);
  EXPECT_FALSE(std::filesystem::exists(folder / "elsewhere"));
}

TEST(Console, ColoursAndRedrawingAreForTerminals) {
  const pseudo_terminal terminal(80);
  ::setenv("TERM", "xterm", 1);
  ::unsetenv("NO_COLOR");
  EXPECT_TRUE(is_terminal(terminal.end()));
  EXPECT_TRUE(wants_colour(terminal.end()));
  ::setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(wants_colour(terminal.end())) << "empty: not set";
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(wants_colour(terminal.end()));
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(is_terminal(terminal.end()));
  EXPECT_FALSE(is_terminal(-1));
}

}  // namespace troupe
