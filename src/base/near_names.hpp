/// What somebody may have meant who has mistyped a name.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace troupe {

/// Letters that must be changed, added or taken away to get from one to the other; of long words the first 100 count.
size_t edit_distance(std::string_view a, std::string_view b);

/// The nearest of `known`; empty where none is near: more than a third of the word, and more than two letters, are
/// different.
std::string near_name(std::string_view word, std::span<const std::string> known);

/// "; did you mean NAME?", or nothing where none is near.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace troupe
