/// Tasks: coroutines in which an actor asks others, written as code that reads from top to bottom. A task is
/// suspended, not blocked, until a reply comes: its actor handles other messages meanwhile, and a deterministic test
/// can step through it.
///
///     task<> train_policy(...) {
///       const train_reply reply = co_await ask<train_reply>(self, cast.policy, command);
///       ...
///     }
///
/// GCC 12 destroys the temporaries of a co_await expression twice if they are aggregates: give a command a variable
/// of its own before it is sent.
#pragma once

#include "actors/protocol/error_replies.hpp"
#include "base/error.hpp"

#include <caf/all.hpp>

#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace troupe::actors {

/// A coroutine that runs once it is awaited, or once its owner calls start(). Owns its frame.
template <class T = void> class task;

namespace detail {

struct task_promise_base {
  std::coroutine_handle<> continuation;
  std::exception_ptr failure;

  std::suspend_always initial_suspend() noexcept { return {}; }
  void unhandled_exception() { failure = std::current_exception(); }

  struct final_awaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise> std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
      const std::coroutine_handle<> next = self.promise().continuation;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() noexcept {}
  };
  final_awaiter final_suspend() noexcept { return {}; }
};

template <class T> struct task_promise : task_promise_base {
  std::optional<T> value;
  task<T> get_return_object();
  void return_value(T result) { value = std::move(result); }
  T take() { return std::move(*value); }
};

template <> struct task_promise<void> : task_promise_base {
  task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace detail

template <class T> class [[nodiscard]] task {
public:
  using promise_type = detail::task_promise<T>;

  task() = default;
  explicit task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~task() {
    if (frame_) {
      frame_.destroy();
    }
  }

  /// For a task that nobody awaits: runs until the first suspension.
  void start() { frame_.resume(); }
  bool done() const { return frame_ && frame_.done(); }
  /// Throws what the task threw. Only when done().
  void rethrow_failure() const {
    if (frame_.promise().failure) {
      std::rethrow_exception(frame_.promise().failure);
    }
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiting) noexcept {
    frame_.promise().continuation = waiting;
    return frame_;
  }
  T await_resume() {
    rethrow_failure();
    return frame_.promise().take();
  }

private:
  std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <class T> task<T> task_promise<T>::get_return_object() {
  return task<T>(std::coroutine_handle<task_promise<T>>::from_promise(*this));
}

inline task<void> task_promise<void>::get_return_object() {
  return task<void>(std::coroutine_handle<task_promise<void>>::from_promise(*this));
}

}  // namespace detail

/// How long a reply may take before the asker gives up: for ever. A hang is told by the pulse (pulse.hpp), which knows
/// the operation that hangs, and a dead peer by its down message. A deadline here would be one that CAF 0.17 keeps
/// until it has passed, also when the reply has come: some memory for each request, for so long.
inline constexpr caf::infinite_t reply_deadline = caf::infinite;

/// Awaits the reply of `receiver` to a message.
/// Errors  those of the handler at the other side; lost_peer: the receiver is gone.
template <class Reply, class Self, class Receiver, class... Message> class ask_awaiter {
public:
  ask_awaiter(Self self, Receiver receiver, Message... message)
      : self_(self), receiver_(std::move(receiver)), message_(std::move(message)...) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> plan) {
    std::apply(
        [&](auto&... parts) {
          self_->request(receiver_, reply_deadline, std::move(parts)...)
              .then(
                  [this, plan](Reply& reply) {
                    reply_ = std::move(reply);
                    plan.resume();
                  },
                  [this, plan](const caf::error& reason) {
                    reason_ = reason;
                    plan.resume();
                  });
        },
        message_);
  }
  Reply await_resume() {
    if (!reply_) {
      throw to_troupe_error(reason_);
    }
    return std::move(*reply_);
  }

private:
  Self self_;
  Receiver receiver_;
  std::tuple<Message...> message_;
  std::optional<Reply> reply_;
  caf::error reason_;
};

template <class Reply, class Self, class Receiver, class... Message>
auto ask(Self self, Receiver receiver, Message... message) {
  return ask_awaiter<Reply, Self, Receiver, Message...>(self, std::move(receiver), std::move(message)...);
}

namespace detail {

/// What the callbacks of an ask_everyone share. It outlives the awaiter: a task that has heard of a failure goes on
/// while other replies are still to come.
template <class Reply> struct joint_reply {
  std::vector<std::optional<Reply>> replies;
  size_t missing = 0;
  caf::error reason;
  std::coroutine_handle<> plan;

  void resume() {
    if (const auto waiting = std::exchange(plan, nullptr)) {
      waiting.resume();
    }
  }
};

}  // namespace detail

/// Awaits the replies of all `receivers` to one message, or to a message each. The replies are in the receivers' order.
/// Errors  that of the first request that failed. One that all ranks find alike is thrown once all have answered, any
/// other at once.
template <class Reply, class Self, class Receiver, class Message> class everyone_awaiter {
public:
  using joint = detail::joint_reply<Reply>;

  everyone_awaiter(Self self, std::vector<Receiver> receivers, std::function<Message(size_t)> message)
      : self_(self), receivers_(std::move(receivers)), message_(std::move(message)), joint_(std::make_shared<joint>()) {
  }

  bool await_ready() const noexcept { return receivers_.empty(); }
  void await_suspend(std::coroutine_handle<> plan) {
    joint_->plan = plan;
    joint_->missing = receivers_.size();
    joint_->replies.resize(receivers_.size());
    // The last reply may resume the plan, and so end this awaiter, but never before this function has returned: replies
    // are handled by the actor that is running it.
    try {
      for (size_t i = 0; i < receivers_.size(); ++i) {
        Message message = message_(i);
        std::apply([&](auto&... parts) { request(i, std::move(parts)...); }, message);
      }
    } catch (...) {  // the plan goes on with this exception: replies to what was asked already must not resume it
      joint_->plan = nullptr;
      throw;
    }
  }
  std::vector<Reply> await_resume() {
    if (joint_->reason) {
      throw to_troupe_error(joint_->reason);
    }
    std::vector<Reply> replies;
    for (std::optional<Reply>& reply : joint_->replies) {
      replies.push_back(std::move(*reply));
    }
    return replies;
  }

private:
  template <class... Parts> void request(size_t i, Parts... parts) {
    self_->request(receivers_[i], reply_deadline, std::move(parts)...)
        .then(
            [joint = joint_, i](Reply& reply) {
              joint->replies[i] = std::move(reply);
              if (--joint->missing == 0) {
                joint->resume();
              }
            },
            [joint = joint_](const caf::error& reason) {
              if (!joint->reason) {
                joint->reason = reason;
              }
              if (--joint->missing == 0 || !found_by_all(to_troupe_error(reason))) {
                joint->resume();
              }
            });
  }

  Self self_;
  std::vector<Receiver> receivers_;
  std::function<Message(size_t)> message_;
  std::shared_ptr<joint> joint_;
};

/// The same message to all.
template <class Reply, class Self, class Receiver, class... Message>
auto ask_everyone(Self self, std::vector<Receiver> receivers, Message... message) {
  using parts = std::tuple<Message...>;
  return everyone_awaiter<Reply, Self, Receiver, parts>(self, std::move(receivers),
                                                        [all = parts(std::move(message)...)](size_t) { return all; });
}

/// A message for each: `message(i)` is a tuple.
template <class Reply, class Self, class Receiver, class Function>
auto ask_each(Self self, std::vector<Receiver> receivers, Function message) {
  using parts = std::invoke_result_t<Function, size_t>;
  return everyone_awaiter<Reply, Self, Receiver, parts>(self, std::move(receivers), std::move(message));
}

}  // namespace troupe::actors
