/// Lists of turns, as data sets write them.
#pragma once

#include "io/chat/chat.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace troupe::io {

/// {from, value} or {role, content}. Other names of the same roles (human, gpt) become user and assistant; contents may
/// be a list of {"type": "text", "text": ...}.
/// Errors  bad_file: what is wrong with it; a tool's turn, a call of tools and a turn without text among them.
chat_message read_turn(const nlohmann::json& turn);

/// Errors  bad_file, naming the turn; those of read_turn.
std::vector<chat_message> read_turns(const nlohmann::json& list);

struct parted_turns {
  std::vector<chat_message> prompt;
  std::string chosen, rejected;
};

/// Of a preference pair. `chosen` and `rejected` follow `prompt`, or begin with it. The prompt is all that they share.
/// Errors  bad_file: they do not part at the assistant's last turn, or share nothing.
parted_turns part_turns(const std::vector<chat_message>& prompt, std::vector<chat_message> chosen,
                        std::vector<chat_message> rejected);

}  // namespace troupe::io
