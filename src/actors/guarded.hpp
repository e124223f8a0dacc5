/// Between exceptions, which the layers below throw, and caf::error, which crosses processes.
#pragma once

#include "kernels/base/error.hpp"

#include <caf/all.hpp>

#include <exception>
#include <new>
#include <string>

namespace troupe::actors {

/// Carries code and text; to_troupe_error (task.hpp) turns it back at the other side.
caf::error to_caf_error(const std::exception& failure);

namespace detail {

template <class Function, class Result, class... Args>
auto guard(Function function, Result (Function::*)(Args...) const) {
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
template <class Function> auto guarded(Function function) {
  return detail::guard(std::move(function), &Function::operator());
}

}  // namespace troupe::actors
