/// The options by which `chat`, `generate`, `tokenize` and `eval` choose how conversations are written.
#pragma once

#include "io/chat/chat.hpp"

#include <boost/program_options.hpp>

namespace troupe {

/// --chat-template, --date (today where it is not given) and --template-variables.
void add_chat_options(boost::program_options::options_description& options, io::chat_settings& chosen);

/// "3 special tokens ..." on standard error, where there were any.
void tell_spelled_tokens(std::string_view command, int64_t count);

}  // namespace troupe
