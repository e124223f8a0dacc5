#include "io/weights/pickle/pickle.hpp"
#include "support/damage.hpp"
#include "support/pickle_text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::io {
namespace {

using std::string_literals::operator""s;
using test::expect_error;
using test::pickle::integer;
using test::pickle::pair;
using test::pickle::state_dict;
using test::pickle::tensor;
using test::pickle::text;

std::vector<pickled_tensor> read(const std::string& pickle) { return read_tensor_pickle(test::to_bytes(pickle), "p"); }

TEST(PickleTensorsTest, ReadsAStateDictionary) {
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

TEST(PickleTensorsTest, RefusesOtherThanADictionaryOfTensors) {
  expect_error(errc::unsupported, "holds None", [] { read("\x80\x02N."); });
  expect_error(errc::unsupported, "\"step\" is an integer", [] { read(state_dict(text("step") + "K\1")); });
  expect_error(errc::unsupported, "\"model\" is a dictionary", [] { read(state_dict(text("model") + "}")); });
  expect_error(errc::bad_file, "an integer where text is needed",
               [] { read(state_dict("K\1" + tensor(0, pair(1, 1), pair(1, 1)))); });
  const std::string one = text("w") + tensor(0, pair(1, 1), pair(1, 1));
  expect_error(errc::bad_file, "w occurs twice", [&] { read(state_dict(one + one)); });
}

TEST(PickleTensorsTest, ChecksShapesAgainstTheStorage) {
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

}  // namespace
}  // namespace troupe::io
