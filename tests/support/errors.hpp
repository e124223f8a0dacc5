/// Errors that an action is to end in.
#pragma once

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::test {

/// The error that `action` throws, or none. Any other exception fails the test.
inline std::optional<error> caught(const std::function<void()>& action) {
  try {
    action();
  } catch (const error& failure) {
    return failure;
  } catch (const std::exception& failure) {
    ADD_FAILURE() << "not a troupe::error: " << failure.what();
  }
  return std::nullopt;
}

/// Its text; empty: none is thrown.
inline std::string error_text(const std::function<void()>& action) {
  const auto failure = caught(action);
  return failure ? failure->what() : "";
}

/// Expects `action` to throw `code` with `part` in the text.
inline void expect_error(errc code, std::string_view part, const std::function<void()>& action) {
  const auto failure = caught(action);
  ASSERT_TRUE(failure.has_value()) << "no error; expected one with \"" << part << '"';
  EXPECT_EQ(to_string(failure->code()), std::string(to_string(code))) << failure->what();
  EXPECT_NE(std::string(failure->what()).find(part), std::string::npos) << failure->what();
}

}  // namespace troupe::test
