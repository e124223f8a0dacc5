/// The end of a process in which an operation between ranks does not end. Internal.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace troupe::engine {

/// "no end after 2.0 s"
std::string late_text(std::chrono::microseconds waited);

/// Prints "troupe: WHO: WHY; the process ends, since it cannot be cancelled", and ends with status 70: a peer might
/// still write to the operation's buffers. `last_act` has two seconds in between, in a thread of its own.
[[noreturn]] void end_process(const std::string& who, const std::string& why,
                              const std::function<void()>& last_act = {});

}  // namespace troupe::engine
