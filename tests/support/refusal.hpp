/// Arguments that are refused.
#pragma once

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::test {

/// The text of the bad_argument that `call` throws; a failure of the test where it throws none.
template <class Call> std::string refusal(const Call& call) {
  try {
    call();
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), errc::bad_argument);
    return failure.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

}  // namespace troupe::test
