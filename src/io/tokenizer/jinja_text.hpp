/// A canonical spelling of the Jinja templates that chat formats come as.
#pragma once

#include <string>
#include <string_view>

namespace troupe::io {

/// Two templates with the same canonical text write the same output. What is levelled: white space
/// and its control (with trim_blocks and lstrip_blocks, as `transformers` renders), comments,
/// quotes and escapes, a.b and a['b'], text that is written bare, as a string or by concatenation,
/// and a default for add_generation_prompt. What cannot be read comes back as it is, and so equals
/// nothing that can.
std::string canonical_jinja(std::string_view source);

}  // namespace troupe::io
