/// Between exceptions, which the layers below throw, and caf::error, which crosses processes.
#pragma once

#include "base/error.hpp"

#include <caf/all.hpp>

#include <exception>
#include <new>
#include <string>

namespace troupe::actors {

/// Carries code and text; to_troupe_error turns it back at the other side.
caf::error to_caf_error(const std::exception& failure);

/// What a failed request says: the error that `replying_errors` made at the other side, or CAF's own (the peer is gone).
error to_troupe_error(const caf::error& reason);

/// Some failures are found by all ranks alike (a gradient that is not finite); then every reply is on its way, and the
/// ranks are at rest when all have come. Any other may leave the rest of them in a collective for ever.
bool found_by_all(const error& failure);

namespace detail {

template <class Function, class Result, class... Args>
auto reply_errors_of(Function function, Result (Function::*)(Args...) const) {
  // CAF reads a handler's message from the signature of its call operator, so it is spelled out here.
  return [function = std::move(function)](Args... args) -> caf::result<Result> {
    try {
      if constexpr (std::is_void_v<Result>) {
        function(std::forward<Args>(args)...);
        return {};
      } else {
        return function(std::forward<Args>(args)...);
      }
    } catch (const std::exception& failure) {
      return to_caf_error(failure);
    }
  };
}

}  // namespace detail

/// Wraps a handler (a lambda that is not mutable): what it throws becomes the error reply, so the asker sees the text
/// and the actor lives on.
template <class Function> auto replying_errors(Function function) {
  return detail::reply_errors_of(std::move(function), &Function::operator());
}

}  // namespace troupe::actors
