/// Whether stored tokens can be read.
#pragma once

#include "io/experience/experience.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <filesystem>

namespace troupe {

/// Requires that experience whose tokenizer is known has tokens of this one, which is that of `folder`.
/// Errors  bad_argument, naming the file and both digests.
void require_same_tokenizer(const io::experience& e, const std::filesystem::path& file, const io::tokenizer& tokens,
                            const std::filesystem::path& folder);

}  // namespace troupe
