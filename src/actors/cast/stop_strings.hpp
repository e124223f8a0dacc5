/// Strings that end an answer.
#pragma once

#include "engine/generate/generator.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

/// A check that is true as soon as the answer's text holds one of `stops`. An empty function if there are none.
engine::stop_check make_stop_check(std::shared_ptr<const io::tokenizer> tokens, std::vector<std::string> stops);

}  // namespace troupe::actors
