// The calls that a wire makes of NCCL, in whose place a library stands that notes them.
#include "kernels/cuda/failure.hpp"
#include "kernels/cuda/nccl_wire.hpp"
#include "support/errors.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "nccl/stub_nccl.hpp"
#include <array>
#include <string>
#include <thread>
#include <vector>

namespace troupe::kernels::cuda {

// Of cards there are none here.
void use_card(int) {}
std::string called(int index) { return fmt::format("card {}", index); }

static bool card_has_failed = false;
bool has_failed(int) { return card_has_failed; }

namespace {

using std::chrono::seconds;

template <class Function> Function* stub(Function*, const char* name) {
  static void* const library = ::dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<Function*>(::dlsym(library, name));
}
#define STUB(name) stub(static_cast<decltype(&name)>(nullptr), #name)

class NcclWire : public testing::Test {
protected:
  void SetUp() override {
    STUB(stub_begin)(memory_.data());
    STUB(stub_next)(0, ncclSuccess);
  }
  std::string calls() const { return STUB(stub_calls)(); }
  static std::unique_ptr<wire> join(int rank, int ranks, seconds deadline = seconds(10)) {
    return join_nccl(3, nullptr, new_nccl_id(), rank, ranks, "weights", deadline);
  }
  std::string calls_of(wire& by, const std::function<void(wire&)>& body) {
    STUB(stub_begin)(memory_.data());
    body(by);
    return calls();
  }

  std::array<std::byte, 64> memory_{};
};

TEST_F(NcclWire, IsJoinedWithoutStandingInTheCallAndEndsWhenAllIsThrough) {
  STUB(stub_next)(3, ncclSuccess);
  { const auto by = join(1, 2); }
  EXPECT_EQ(calls(), "join 1 of 2 by 7; finalize; destroy");
}

TEST_F(NcclWire, MessagesGoAsOne) {
  const auto by = join(0, 3);
  const std::vector<wire::message> sends{{1, memory_.data() + 8, 16}, {2, memory_.data(), 4}};
  const std::vector<wire::message> receives{{2, memory_.data() + 32, 5}};
  STUB(stub_next)(2, ncclSuccess);
  EXPECT_EQ(calls_of(*by, [&](wire& w) { w.exchange(sends, receives); }),
            "start; send 16 at 8 to 1; send 4 at 0 to 2; receive 5 at 32 from 2; end");
}

TEST_F(NcclWire, EqualPartsAreGatheredInPlaceAndOthersComeEachFromItsRank) {
  const auto by = join(1, 3);
  EXPECT_EQ(calls_of(*by,
                     [&](wire& w) {
                       w.all_gather(memory_.data(), std::vector<int64_t>{4, 8, 12, 16});
                     }),
            "start; gather 4 at 8 to 4; end");
  EXPECT_EQ(calls_of(*by,
                     [&](wire& w) {
                       w.all_gather(memory_.data(), std::vector<int64_t>{4, 8, 8, 16});
                     }),
            "start; broadcast 4 at 4 of 0; broadcast 8 at 8 of 2; end");
  EXPECT_EQ(calls_of(*by, [&](wire& w) { w.broadcast(memory_.data() + 2, 9, 2); }),
            "start; broadcast 9 at 2 of 2; end");
}

TEST_F(NcclWire, TellsOfErrorsThatComeLater) {
  const auto by = join(1, 2);
  EXPECT_EQ(by->failure(), "");
  STUB(stub_next)(1000, ncclSuccess);
  EXPECT_EQ(by->failure(), "") << "what is under way is no error";
  STUB(stub_state)(ncclRemoteError);
  EXPECT_EQ(by->failure(), "NCCL: remote process exited (the last words)");
  test::expect_error(errc::lost_peer, "NCCL: remote process exited (the last words), when a group of calls was made",
                     [&] { by->broadcast(memory_.data(), 1, 0); });
  STUB(stub_state)(ncclSystemError);
  test::expect_error(errc::lost_peer, "NCCL: unhandled system error (the last words), when a group",
                     [&] { by->broadcast(memory_.data(), 1, 0); });
  STUB(stub_state)(ncclUnhandledCudaError);  // this one is of the card, which is counted
  test::expect_error(errc::device_failure, "card 3: NCCL: ", [&] { by->broadcast(memory_.data(), 1, 0); });
  by->abort();
  EXPECT_EQ(by->failure(), "");
}

TEST_F(NcclWire, IsAbortedOnce) {
  {
    const auto by = join(1, 2);
    by->abort();
    by->abort();
  }
  EXPECT_EQ(calls(), "join 1 of 2 by 7; abort");
}

TEST_F(NcclWire, OfACardThatHasFailedIsLeftAlone) {
  auto by = join(1, 2);
  card_has_failed = true;  // its queue may never end
  by.reset();
  card_has_failed = false;
  EXPECT_EQ(calls(), "join 1 of 2 by 7");
}

/// Of a call that waits for others: whoever watches it ends it from a thread of its own.
TEST_F(NcclWire, IsAbortedInTheMidstOfACall) {
  const auto by = join(1, 2);
  STUB(stub_next)(1 << 30, ncclSuccess);
  std::thread watch([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    by->abort();
  });
  test::expect_error(errc::lost_peer, "NCCL: aborted", [&] { by->broadcast(memory_.data(), 1, 0); });
  watch.join();
}

TEST_F(NcclWire, ThatDoesNotEndIsAborted) {
  {
    const auto by = join(1, 2);
    STUB(stub_state)(ncclRemoteError);
  }
  EXPECT_EQ(calls(), "join 1 of 2 by 7; finalize; abort");
}

TEST_F(NcclWire, ThatCannotBeJoinedSaysWhy) {
  STUB(stub_next)(1 << 30, ncclSuccess);
  test::expect_error(errc::lost_peer,
                     "NCCL: not all ranks came within 1000 ms, when 'weights' was joined on rank 1 of 2",
                     [] { join(1, 2, seconds(1)); });
  STUB(stub_next)(2, ncclSystemError);
  test::expect_error(errc::lost_peer, "NCCL: unhandled system error (the last words), when 'weights' was",
                     [] { join(1, 2); });
  test::expect_error(errc::bad_argument, "the id of a wire of NCCL has 3 bytes",
                     [] { join_nccl(3, nullptr, wire_id(3), 0, 1, "weights", seconds(1)); });
}

}  // namespace
}  // namespace troupe::kernels::cuda
