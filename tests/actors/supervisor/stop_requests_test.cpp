// What one signal after another means.
#include "actors/supervisor/stop_requests.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace troupe::actors {

using namespace std::chrono_literals;

class StopRequests : public ::testing::Test {
protected:
  stop_request after(std::chrono::milliseconds time, int32_t signal) { return requests_.note(signal, now_ += time); }
  stop_requests::clock::time_point now_{};
  stop_requests requests_;
};

TEST_F(StopRequests, TheFirstStopsAtABoundary) {
  EXPECT_EQ(requests_.first(), 0);
  EXPECT_EQ(after(0s, SIGUSR1), stop_request::stop);
  EXPECT_EQ(requests_.first(), SIGUSR1);
}

TEST_F(StopRequests, TheSecondCtrlCTellsAndTheThirdEnds) {
  EXPECT_EQ(after(0s, SIGINT), stop_request::stop);
  EXPECT_EQ(after(1ms, SIGINT), stop_request::tell);
  EXPECT_EQ(after(1ms, SIGINT), stop_request::end_at_once);
  EXPECT_EQ(after(1ms, SIGINT), stop_request::end_at_once);
}

TEST_F(StopRequests, TheSecondTermEnds) {
  EXPECT_EQ(after(0s, SIGTERM), stop_request::stop);
  EXPECT_EQ(after(501ms, SIGTERM), stop_request::end_at_once);
}

TEST_F(StopRequests, OneThatArrivesTwiceIsOne) {
  EXPECT_EQ(after(0s, SIGTERM), stop_request::stop);
  EXPECT_EQ(after(400ms, SIGTERM), stop_request::repetition);
  EXPECT_EQ(after(200ms, SIGTERM), stop_request::end_at_once) << "counted from the first";
}

TEST_F(StopRequests, SlurmsWarningAndItsTermAreTwoThings) {
  EXPECT_EQ(after(0s, SIGUSR1), stop_request::stop);
  EXPECT_EQ(after(60s, SIGTERM), stop_request::repetition) << "the checkpoint is on its way";
  EXPECT_EQ(after(30s, SIGTERM), stop_request::end_at_once);
}

TEST_F(StopRequests, AClosedTerminalIsNoInsistence) {
  EXPECT_EQ(after(0s, SIGHUP), stop_request::stop);
  EXPECT_EQ(after(10s, SIGHUP), stop_request::repetition);
  EXPECT_EQ(after(10s, SIGINT), stop_request::tell);
}

}  // namespace troupe::actors
