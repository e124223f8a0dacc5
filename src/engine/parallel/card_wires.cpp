#include "engine/parallel/card_wires.hpp"

#include "base/error.hpp"
#include "engine/parallel/best_fit.hpp"

#include <algorithm>
#include <utility>

namespace troupe::engine {

card_wires::~card_wires() {
  for (const room& one : rooms_) {
    on_.free(one.at);
  }
}

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

card_wires::room card_wires::find_or_map(int64_t bytes) {
  room taken = take_best_fit(rooms_, bytes, [](const room& one) { return one.bytes; }).value_or(room());
  if (taken.bytes < bytes) {
    if (taken.at != nullptr) {
      on_.free(taken.at);
    }
    taken = {.at = on_.reserve(bytes, "arriving pieces"), .bytes = bytes};
    try {
      on_.map(taken.at, bytes);
    } catch (const error&) {
      on_.free(taken.at);
      throw;
    }
  }
  return taken;
}

card_wires::room card_wires::take(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  try {
    return find_or_map(bytes);
  } catch (const error& failure) {
    broken_ = failure.what();
    throw;
  }
}

void card_wires::make_room(std::span<const int64_t> bytes) {
  const std::lock_guard lock(mutex_);
  std::vector<room> all;
  try {
    for (const int64_t one : bytes) {
      all.push_back(find_or_map(one));
    }
  } catch (const error&) {
    rooms_.insert(rooms_.end(), all.begin(), all.end());
    throw;
  }
  rooms_.insert(rooms_.end(), all.begin(), all.end());
}

void card_wires::give_back(room used) {
  const std::lock_guard lock(mutex_);
  rooms_.push_back(used);
}

}  // namespace troupe::engine
