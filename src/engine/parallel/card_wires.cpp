#include "engine/parallel/card_wires.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <utility>

namespace troupe::engine {

void card_wires::call_now(std::span<const wire_operation_ptr> as_one, const std::function<void(wire&)>& calls) {
  if (!broken_.empty()) {
    throw error(errc::out_of_memory, "{}: not called, since one before it had no memory: {}", as_one.front()->who,
                broken_);
  }
  const mark begins = on_.record(queue::compute);
  for (const wire_operation_ptr& one : as_one) {
    watch_.begin(one, begins);
  }
  try {
    on_.await(queue::wire, begins);
    calls(*as_one.front()->by);
    const mark ends = on_.record(queue::wire);
    for (const wire_operation_ptr& one : as_one) {
      watch_.called(*one, ends);
    }
  } catch (const std::exception& failure) {
    for (const wire_operation_ptr& one : as_one) {
      watch_.drop(one);
    }
    const auto* const known = dynamic_cast<const error*>(&failure);
    throw error(known != nullptr ? known->code() : errc::out_of_memory, "{}: {}", as_one.front()->who, failure.what());
  }
}

void card_wires::call(const wire_operation_ptr& one, const std::function<void(wire&)>& calls) {
  const std::lock_guard lock(mutex_);
  send_letters();
  call_now(std::span(&one, 1), calls);
}

void card_wires::post(letter one) {
  const std::lock_guard lock(mutex_);
  if (!letters_.empty() && letters_.front().group != one.group) {
    send_letters();
  }
  letters_.push_back(std::move(one));
}

void card_wires::send_letters() {
  if (letters_.empty()) {
    return;
  }
  std::vector<letter> all = std::exchange(letters_, {});
  std::stable_sort(all.begin(), all.end(), [](const letter& a, const letter& b) { return a.tag < b.tag; });
  std::vector<wire_operation_ptr> operations;
  std::vector<wire::message> sends, receives;
  for (const letter& one : all) {
    operations.push_back(one.what);
    if (one.message.bytes > 0) {
      (one.sends ? sends : receives).push_back(one.message);
    }
  }
  call_now(operations, [&](wire& by) { by.exchange(sends, receives); });
}

void card_wires::await(wire_operation& one) {
  const std::lock_guard lock(mutex_);
  if (!one.ends) {
    send_letters();
  }
  if (!one.ends) {
    throw error(errc::device_failure, "{}: its call was refused", one.who);
  }
  watch_.await(one);
  on_.await(queue::compute, *one.ends);
}

arriving_room::piece card_wires::take(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  try {
    return arriving_.take(bytes);
  } catch (const error& failure) {
    broken_ = failure.what();
    throw;
  }
}

void card_wires::give_back(const arriving_room::piece& used) {
  const std::lock_guard lock(mutex_);
  arriving_.give_back(used);
}

void card_wires::make_room(std::span<const int64_t> bytes) {
  const std::lock_guard lock(mutex_);
  int64_t together = 0;
  for (const int64_t one : bytes) {
    together += arriving_room::rounded(one);
  }
  arriving_.reserve(together);
}

}  // namespace troupe::engine
