// NCCL's own library, as far as it goes without a card; and what is no such library.
#include "kernels/cuda/failure.hpp"
#include "kernels/cuda/nccl_library.hpp"
#include "kernels/cuda/nccl_wire.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::kernels::cuda {

void use_card(int) {}
std::string called(int index) { return fmt::format("card {}", index); }
bool has_failed(int) { return false; }

namespace {

TEST(NcclLibrary, ThatIsNoneSaysWhy) {
  EXPECT_EQ(load_nccl("libno_such_nccl.so").why_none.find("NCCL cannot be loaded: libno_such_nccl.so: "), 0U);
  EXPECT_EQ(load_nccl("libc.so.6").why_none, "libc.so.6 is no NCCL that can be used: it has no ncclGetVersion");
  EXPECT_EQ(load_nccl(TROUPE_OLD_NCCL).why_none, TROUPE_OLD_NCCL " is NCCL 2.17.0: one of 2.18 or later is needed");
  EXPECT_EQ(load_nccl(TROUPE_OLD_NCCL).version, "");
}

/// The one of this machine.
class NcclOfThisMachine : public testing::Test {
protected:
  void SetUp() override {
    std::string why_none;
    if (nccl_version(why_none).empty()) {
      GTEST_SKIP() << why_none;
    }
  }
};

TEST_F(NcclOfThisMachine, HasAVersionAndMakesIds) {
  std::string why_none;
  EXPECT_EQ(nccl_version(why_none).find("NCCL 2."), 0U);
  const wire_id one = new_nccl_id(), other = new_nccl_id();
  EXPECT_EQ(one.size(), 128U);
  EXPECT_NE(one, other);
}

/// Where there is a card it is joined by one rank; where there is none, NCCL says so.
TEST_F(NcclOfThisMachine, IsJoinedOrSaysWhyNot) {
  const auto failure = test::caught([] {
    const auto by = join_nccl(0, nullptr, new_nccl_id(), 0, 1, "weights", std::chrono::seconds(60));
    EXPECT_EQ(by->failure(), "");
  });
  if (failure) {
    EXPECT_EQ(failure->code(), errc::device_failure) << failure->what();
    EXPECT_EQ(std::string(failure->what()).find("card 0: NCCL: "), 0U) << failure->what();
    RecordProperty("without_a_card", failure->what());
  }
}

TEST_F(NcclOfThisMachine, DoesNotWaitLongerForRanksThanItIsTold) {
  const auto failure = test::caught(
      [] { static_cast<void>(join_nccl(0, nullptr, new_nccl_id(), 0, 2, "weights", std::chrono::milliseconds(300))); });
  ASSERT_TRUE(failure.has_value()) << "the other rank is not there";
}

}  // namespace
}  // namespace troupe::kernels::cuda
