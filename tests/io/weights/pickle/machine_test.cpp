#include "io/weights/pickle/pickle.hpp"
#include "support/damage.hpp"
#include "support/pickle_text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::io {
namespace {

using std::string_literals::operator""s;
using test::expect_error;
using test::pickle::pair;
using test::pickle::state_dict;
using test::pickle::tensor;
using test::pickle::text;

std::vector<pickled_tensor> read(const std::string& pickle) { return read_tensor_pickle(test::to_bytes(pickle), "p"); }

TEST(PickleMachineTest, RefusesEveryOpcodeThatTensorsDoNotNeed) {
  const std::string needed = "NJKMGX}])t(suaeqrhjcRbQ."
                             "\x80\x85\x86\x87\x88\x89\x8a\x8c\x8d\x93\x94\x95";
  for (int opcode = 0; opcode < 256; ++opcode) {
    if (needed.find(static_cast<char>(opcode)) == std::string::npos) {
      expect_error(errc::unsupported, fmt::format("opcode 0x{:02x} at byte 2", opcode),
                   [&] { read("\x80\x02"s + static_cast<char>(opcode) + std::string(32, '.')); });
    }
  }
}

TEST(PickleMachineTest, AllowsCyclesAndSharedValuesWithoutFollowingThem) {
  // A dictionary that holds itself, and a list that does.
  expect_error(errc::unsupported, "\"me\" is a dictionary", [] { read("\x80\x02}q\0"s + text("me") + "h\0s."s); });
  expect_error(errc::unsupported, "holds a list", [] { read("\x80\x02]q\0h\0a."s); });
}

TEST(PickleMachineTest, CannotBeMadeToTakeMuchMoreThanItsOwnSize) {
  // Nested marks, tuples and memos by the hundred thousand: a stack, but no recursion.
  std::string nested = "\x80\x02N";
  for (int i = 0; i < 300000; ++i) {
    nested += "\x85";
  }
  expect_error(errc::unsupported, "holds a tuple", [&] { read(nested + "."); });
  expect_error(errc::bad_file, "needed at byte", [] { read("\x80\x02" + std::string(300000, '(')); });
  // A long tuple, recalled as argument over and over.
  std::string recalled = "\x80\x02(" + std::string(100000, 'N') + "tq\0ccollections\nOrderedDict\nq\1"s;
  for (int i = 0; i < 50000; ++i) {
    recalled += "h\1h\0R"s;
  }
  expect_error(errc::bad_file, "more than 7 values", [&] { read(recalled); });
  // And as the shape of many tensors.
  std::string shapes = "\x80\x02(" + std::string(65000, 'N') + "tq\0}("s;
  expect_error(errc::bad_file, "more than 64 dimensions",
               [&] { read(shapes + text("a") + tensor(0, "h\0"s, "h\0"s) + "u."); });
  expect_error(errc::unsupported, "the limit for a description",
               [] { read("\x80\x02" + std::string(33 << 20, 'N') + "."); });
}

TEST(PickleMachineTest, RefusesLengthsBeyondTheEnd) {
  const auto refuse = [](const std::string& pickle) { expect_error(errc::bad_file, "byte", [&] { read(pickle); }); };
  refuse("\x80\x02X\xff\xff\xff\xff"
         "abc");
  refuse("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
         "abc");
  refuse("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.");
  refuse("\x80\x02\x8a\xff" + std::string(255, '\0') + ".");
  refuse("\x80\x02"
         "ctorch");
  refuse("\x80\x02t.");
  refuse("\x80\x02u.");
  refuse("\x80\x02(u.");
  refuse("\x80\x02}(Nu.");
  refuse("\x80\x02R.");
  refuse("\x80\x02N(R.");
  refuse("\x80\x02h\0."s);
  refuse("\x80\x02q\0."s);
  refuse("\x80\x02.");
  refuse("\x80\x02Na.");
  refuse("N.");
  refuse("");
  expect_error(errc::unsupported, "protocol 1", [] { read("\x80\x01N."); });
  expect_error(errc::unsupported, "protocol 6", [] { read("\x80\x06N."); });
}

TEST(PickleMachineTest, SurvivesDamage) {
  const auto bytes = test::to_bytes(
      state_dict(text("w") + tensor(4, pair(2, 3), pair(3, 1)) + text("t") + tensor(0, pair(3, 2), pair(1, 3))));
  const test::parser parse = [](std::span<const std::byte> b) { read_tensor_pickle(b, "p"); };
  test::expect_every_truncation_refused(bytes, parse);
  EXPECT_GT(test::flip_every_byte(bytes, parse), bytes.size());
}

}  // namespace
}  // namespace troupe::io
