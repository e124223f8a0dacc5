#include "io/pickle.hpp"
#include "support/damage.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::io {
namespace {

using std::string_literals::operator""s;
using test::expect_error;

std::vector<pickled_tensor> read(const std::string& pickle) { return read_tensor_pickle(test::to_bytes(pickle), "p"); }

std::string text(const std::string& value) { return "\x8c"s + static_cast<char>(value.size()) + value; }

std::string integer(uint16_t value) { return "M"s + static_cast<char>(value & 255) + static_cast<char>(value >> 8); }

const std::string storage_of_24 =
    "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(24) + "tQ";
const std::string ordered_dictionary = "ccollections\nOrderedDict\n)R";

/// _rebuild_tensor_v2 of a storage of 24 floats.
std::string tensor(uint16_t offset, const std::string& shape, const std::string& stride) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage_of_24 + integer(offset) + shape + stride + "\x89" +
         ordered_dictionary + "tR";
}

std::string pair(uint16_t a, uint16_t b) { return integer(a) + integer(b) + "\x86"; }

std::string state_dict(const std::string& items) { return "\x80\x02}(" + items + "u."; }

TEST(PickleTest, ReadsAStateDictionary) {
  const auto tensors =
      read(state_dict(text("w") + tensor(4, pair(2, 3), pair(3, 1)) + text("t") + tensor(0, pair(3, 2), pair(1, 3))));
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].name, "w");
  EXPECT_EQ(tensors[0].type, dtype::f32);
  EXPECT_EQ(tensors[0].storage_key, "0");
  EXPECT_EQ(tensors[0].storage_elements, 24);
  EXPECT_EQ(tensors[0].offset, 4);
  EXPECT_EQ(tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_TRUE(tensors[0].contiguous());
  EXPECT_FALSE(tensors[1].contiguous());
}

TEST(PickleTest, RefusesEveryOtherGlobalByName) {
  const auto refuse = [](const std::string& pickle, const char* name) {
    expect_error(errc::unsupported, name, [&] { read(pickle); });
  };
  refuse("\x80\x02"
         "cos\nsystem\n(" +
             text("true") + "tR.",
         "os.system");
  refuse("\x80\x02"
         "cposix\nsystem\n(" +
             text("true") + "tR.",
         "posix.system");
  refuse("\x80\x02"
         "c__builtin__\neval\n(" +
             text("1") + "tR.",
         "__builtin__.eval");
  refuse("\x80\x04"s + text("builtins") + text("eval") + "\x93(" + text("1") + "tR.", "builtins.eval");
  refuse("\x80\x04"s + text("torch") + text("load") + "\x93.", "torch.load");
  refuse("\x80\x02"
         "ctorch._utils\n_rebuild_tensor\n.",
         "torch._utils._rebuild_tensor");
  // A name must not reach a known global through a different split of module and name.
  refuse("\x80\x04"s + text("") + text("torch.FloatStorage") + "\x93.", ".torch.FloatStorage");
  refuse("\x80\x02"
         "cnumpy.core.multiarray\n_reconstruct\n.",
         "numpy.core.multiarray._reconstruct");
}

TEST(PickleTest, RefusesEveryOpcodeThatTensorsDoNotNeed) {
  const std::string needed = "NJKMGX}])t(suaeqrhjcRbQ."
                             "\x80\x85\x86\x87\x88\x89\x8a\x8c\x8d\x93\x94\x95";
  for (int opcode = 0; opcode < 256; ++opcode) {
    if (needed.find(static_cast<char>(opcode)) == std::string::npos) {
      expect_error(errc::unsupported, fmt::format("opcode 0x{:02x} at byte 2", opcode),
                   [&] { read("\x80\x02"s + static_cast<char>(opcode) + std::string(32, '.')); });
    }
  }
}

TEST(PickleTest, RefusesCallsOfWhatIsNoFunction) {
  expect_error(errc::unsupported, "calls a storage class", [] {
    read("\x80\x02"
         "ctorch\nFloatStorage\n)R.");
  });
  expect_error(errc::unsupported, "calls a dictionary", [] { read("\x80\x02})R."); });
  expect_error(errc::bad_file, "with arguments", [] {
    read("\x80\x02"
         "ccollections\nOrderedDict\n(K\1tR.");
  });
  expect_error(errc::bad_file, "a tuple is needed", [] {
    read("\x80\x02"
         "ccollections\nOrderedDict\nNR.");
  });
}

TEST(PickleTest, RefusesOtherThanADictionaryOfTensors) {
  expect_error(errc::unsupported, "holds None", [] { read("\x80\x02N."); });
  expect_error(errc::unsupported, "\"step\" is an integer", [] { read(state_dict(text("step") + "K\1")); });
  expect_error(errc::unsupported, "\"model\" is a dictionary", [] { read(state_dict(text("model") + "}")); });
  expect_error(errc::bad_file, "an integer where text is needed",
               [] { read(state_dict("K\1" + tensor(0, pair(1, 1), pair(1, 1)))); });
  const std::string one = text("w") + tensor(0, pair(1, 1), pair(1, 1));
  expect_error(errc::bad_file, "w occurs twice", [&] { read(state_dict(one + one)); });
}

TEST(PickleTest, ChecksShapesAgainstTheStorage) {
  const auto fits = [](uint16_t offset, const std::string& shape, const std::string& stride) {
    return read(state_dict(text("w") + tensor(offset, shape, stride))).size() == 1;
  };
  const auto refuse = [&](uint16_t offset, const std::string& shape, const std::string& stride) {
    expect_error(errc::bad_file, "does not fit its storage of 24 elements", [&] { fits(offset, shape, stride); });
  };
  const std::string large = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x3f"s;  // 2^62 - 1
  const std::string minus = "J\xff\xff\xff\xff"s;
  EXPECT_TRUE(fits(0, pair(4, 6), pair(6, 1)));
  EXPECT_TRUE(fits(24, pair(0, 6), pair(6, 1)));
  refuse(0, pair(4, 7), pair(7, 1));
  refuse(1, pair(4, 6), pair(6, 1));
  refuse(25, pair(0, 6), pair(6, 1));
  refuse(0, pair(4, 6), pair(7, 1));
  refuse(0, pair(4, 6), pair(6, 1).substr(0, 3) + "\x85");  // one stride for two dimensions
  refuse(0, pair(100, 100), pair(0, 0));                    // an expanded view
  refuse(0, large + large + "\x86", pair(1, 1));
  refuse(0, pair(2, 2), large + large + "\x86");
  refuse(0, minus + integer(1) + "\x86", pair(1, 1));
  refuse(0, pair(2, 1), minus + integer(1) + "\x86");
}

TEST(PickleTest, AllowsCyclesAndSharedValuesWithoutFollowingThem) {
  // A dictionary that holds itself, and a list that does.
  expect_error(errc::unsupported, "\"me\" is a dictionary", [] { read("\x80\x02}q\0"s + text("me") + "h\0s."s); });
  expect_error(errc::unsupported, "holds a list", [] { read("\x80\x02]q\0h\0a."s); });
}

TEST(PickleTest, CannotBeMadeToTakeMuchMoreThanItsOwnSize) {
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

TEST(PickleTest, RefusesLengthsBeyondTheEnd) {
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

TEST(PickleTest, SurvivesDamage) {
  const auto bytes = test::to_bytes(
      state_dict(text("w") + tensor(4, pair(2, 3), pair(3, 1)) + text("t") + tensor(0, pair(3, 2), pair(1, 3))));
  const test::parser parse = [](std::span<const std::byte> b) { read_tensor_pickle(b, "p"); };
  test::expect_every_truncation_refused(bytes, parse);
  EXPECT_GT(test::flip_every_byte(bytes, parse), bytes.size());
}

}  // namespace
}  // namespace troupe::io
