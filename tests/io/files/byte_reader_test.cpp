// Reading bytes that are not to be trusted.
#include "io/files/byte_reader.hpp"
#include "support/damage.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

TEST(ByteReader, ReadsLittleEndianValuesOneAfterAnother) {
  const auto bytes = test::to_bytes(std::string_view("\x01\x02\x03\x04\x05\x06name", 10));
  byte_reader in(bytes, "file");
  EXPECT_EQ(in.read<uint16_t>(), 0x0201);
  EXPECT_EQ(in.read<uint32_t>(), 0x06050403U);
  EXPECT_EQ(in.take_text(4), "name");
  EXPECT_EQ(in.left(), 0U);
  in.seek(1);
  EXPECT_EQ(in.read<uint8_t>(), 2);
}

TEST(ByteReader, NothingIsReadBeyondTheEnd) {
  const auto bytes = test::to_bytes("abc");
  byte_reader in(bytes, "file");
  in.take(2);
  const char* said = "file: 4 bytes are needed at byte 2, but the data ends at 3";
  test::expect_error(errc::bad_file, said, [&] { in.read<uint32_t>(); });
  EXPECT_EQ(in.position(), 2U) << "a refused read moves nothing";
  test::expect_error(errc::bad_file, "at byte 2", [&] { in.take(UINT64_MAX); });
  test::expect_error(errc::bad_file, "at byte 0", [&] { in.seek(4); });
}

TEST(Printable, ControlBytesAndLengthDoNoHarm) {
  EXPECT_EQ(excerpt("a\tb\x1b[31m\xff"), "a?b?[31m?");
  EXPECT_EQ(excerpt(std::string(81, 'x')), std::string(80, 'x') + "...");
  EXPECT_EQ(excerpt(std::string(80, 'x')), std::string(80, 'x'));
}

}  // namespace
}  // namespace troupe::io
