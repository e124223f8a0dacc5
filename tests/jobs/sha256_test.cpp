// SHA-256 against the vectors of FIPS 180-4.
#include "jobs/sha256.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe {
namespace {

std::string of(std::string_view text) {
  sha256 digest;
  digest.update(text);
  return digest.text();
}

TEST(Sha256, IsTheStandards) {
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(of(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesAreTheWhole) {
  sha256 digest;
  digest.update("a");
  digest.update("");
  digest.update("bc");
  EXPECT_EQ(digest.text(), of("abc"));
}

}  // namespace
}  // namespace troupe
