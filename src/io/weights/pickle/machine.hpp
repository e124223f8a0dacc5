/// The opcodes of a pickle. Internal to io/pickle.
#pragma once

#include "io/files/byte_reader.hpp"
#include "io/weights/pickle/stack.hpp"

namespace troupe::io::pickle {

/// Runs the pickle that `in` begins with to its STOP, on the stack made for this reader; its result. Nothing recurses,
/// and an opcode adds one value at most, so the cost is bounded by the pickle's size.
/// Errors  bad_file: malformed, truncated; unsupported: a protocol other than 2 to 5, an opcode, global or call that
/// tensors do not need.
reference run(byte_reader& in, stack& values);

}  // namespace troupe::io::pickle
