/// The templates of the chat formats that have a name.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace troupe::io {

std::span<const std::string_view> chat_format_names();

/// Jinja source.
/// Errors  unsupported, with the list of names.
std::string chat_format_source(std::string_view name);

}  // namespace troupe::io
