/// What a program for rewards is asked, and what it says: a JSON object on one line, each way.
///   request  {"version":1,"id":7,"items":[{"prompt":"…","answer":"…","label":"…","finish":"stop","source":"…"}, …]}
///   reply    {"id":7,"items":[{"reward":0.5}, {"reward":null}, …]}
/// The reply has the request's id, and an item for each of its items, in the same order. `reward` is a number, or null
/// (Python's NaN is taken for it) for an answer that cannot be scored. What else a reply holds is passed over.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// An answer that is to be scored.
struct answer_item {
  std::string prompt, answer;  ///< as text, without special tokens
  std::string label;           ///< the data set's own answer, or the field that `reference` names; may be empty
  std::string source;          ///< NAME of the prompt's [data.NAME]
  bool finished = true;        ///< "stop": ended by an end token or stop string; else "length"
};

/// One line, without its end.
std::string reward_request(uint64_t id, std::span<const answer_item> items);

/// The rewards of a reply to request `id` with so many items. NaN: cannot be scored.
/// Errors  bad_file: it is no such reply; the text says why and begins as it does.
std::vector<float> read_rewards(std::string_view reply, uint64_t id, size_t items);

}  // namespace troupe::io
