/// From exceptions, which the layers below throw, to caf::error, which crosses processes, and back.
#pragma once

#include "base/error.hpp"

#include <caf/all.hpp>

#include <exception>
#include <string>

namespace troupe::actors {

/// Whatever was thrown, as an error of ours. What is none becomes `unsupported`; a lack of memory, or of threads,
/// out_of_memory.
error to_troupe_error(const std::exception_ptr& failure);

/// Carries code and text of a failure; to_troupe_error turns it back at the other side.
caf::error to_caf_error(const error& failure);

/// Whether `reason` was made by to_caf_error, so that it has a text of its own.
bool is_told(const caf::error& reason);

/// Why a request has failed: the error that `replying_errors` made at the other side; or lost_peer, where CAF itself
/// says that the other side is gone.
error to_troupe_error(const caf::error& reason);

/// What an actor throws where it answers nobody ends it, and this becomes its exit reason, with its name. Who monitors
/// it hears why: a rank's stage, or the supervisor.
template <class Actor> void die_telling_why(Actor* self) {
  self->set_exception_handler([self](std::exception_ptr& failure) -> caf::error {
    const error why = to_troupe_error(failure);
    return to_caf_error(error(why.code(), "{}: {}", self->name(), why.what()));
  });
}

/// Whether all ranks find a failure alike (a gradient that is not finite): then every reply will come, and the ranks
/// are at rest once all have come. Any other failure may leave the rest of the ranks in a collective for ever.
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
    } catch (...) {
      return to_caf_error(to_troupe_error(std::current_exception()));
    }
  };
}

}  // namespace detail

/// Wraps a handler (a lambda that is not mutable) so that what it throws becomes its reply: the asker sees the text
/// of the error, and the actor lives on.
template <class Function> auto replying_errors(Function function) {
  return detail::reply_errors_of(std::move(function), &Function::operator());
}

}  // namespace troupe::actors
