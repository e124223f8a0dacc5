/// The objects that torch.save writes, and what the few functions that it names would make of them. Nothing is called:
/// each of these is written out here. Internal to io/pickle.
#pragma once

#include "io/weights/pickle/stack.hpp"

#include <string_view>

namespace troupe::io::pickle {

/// Pushes a class or function.
/// Errors  unsupported: not one that tensors need.
void push_global(stack& values, std::string_view module, std::string_view name);

/// Replaces the persistent id on top by the storage that it names.
/// Errors  bad_file.
void push_storage(stack& values);

/// Pushes what `function` makes of a tuple of arguments.
/// Errors  bad_file: not its arguments; unsupported: no function.
void call_function(stack& values, reference function, reference arguments);

/// Drops the attributes on top: torch hangs `_metadata` (module versions) on a state dictionary.
/// Errors  bad_file.
void set_attributes(stack& values);

}  // namespace troupe::io::pickle
