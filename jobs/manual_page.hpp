/// The manual page.
#pragma once

#include "jobs/command_help.hpp"

#include <span>
#include <string>

namespace troupe {

/// In the language of man(7): what each command says with --help, as it says it.
std::string manual_page(std::span<const command_help> commands);

}  // namespace troupe
