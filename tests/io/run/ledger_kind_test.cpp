#include "io/run/ledger_kind.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace troupe::io {
namespace {

TEST(LedgerKind, EachHasANameOfItsOwnByWhichItIsFound) {
  std::set<std::string> names;
  for (int number = 0; number <= static_cast<int>(ledger_kind::note); ++number) {
    const auto kind = static_cast<ledger_kind>(number);
    names.insert(to_string(kind));
    EXPECT_EQ(ledger_kind_of(to_string(kind)), kind) << to_string(kind);
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(ledger_kind::note) + 1);
  EXPECT_TRUE(names.contains("checkpoint_damaged"));
}

TEST(LedgerKind, OfAnyOtherNameIsNone) {
  EXPECT_EQ(ledger_kind_of("checkpoint_lost"), std::nullopt);
  EXPECT_EQ(ledger_kind_of(""), std::nullopt);
}

}  // namespace
}  // namespace troupe::io
