/// A conversation with a language model: what was said, and the next answer.
#pragma once

#include "actors/models/model_files.hpp"
#include "jobs/compute_place.hpp"
#include "jobs/fields.hpp"
#include "jobs/sampling_options.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Where an answer goes while it comes.
struct answer_sink {
  std::function<void(std::string_view)> show;  ///< the next piece of text, whole characters
  std::function<bool()> enough;                ///< asked after every step: true ends the answer where it is
};

class conversation {
public:
  /// Loads the model in `folder`, and tries an exchange as far as that goes without computing anything.
  /// Errors  as io and engine: a model or template that cannot be read or used; bad_argument: a system message or
  ///         options that no message could be answered with.
  conversation(const std::string& folder, const sampling_options& options, const io::chat_settings& chat,
               const std::string& system);

  /// Answers the user's next message; the oldest exchanges are forgotten where they leave no room for an answer.
  /// Returns how many were.
  /// Errors  what cannot be answered, which leaves the conversation as it was.
  int64_t say(const std::string& text, const answer_sink& sink);

  /// Answers the last message of the user once more, by other random numbers.
  /// Errors  bad_argument: there is none.
  int64_t retry(const answer_sink& sink);

  /// Forgets all but the system message.
  void clear();

  /// The system message from now on; empty: none.
  /// Errors  bad_argument: the chat format has no place for it; then it stays what it was.
  void set_system(const std::string& text);
  const std::string& system() const { return system_; }

  /// {"messages": [...]} in one line, system message and all: a record of the data format `conversations`.
  std::string as_json_line() const;
  bool empty() const { return turns_.empty(); }

  std::string_view format() { return tokens_.format().name(); }

  /// Special tokens that messages have spelled out so far.
  int64_t spelled() const { return tokens_.spelled(); }

private:
  /// What `attempt` returns; where it throws, the conversation is as before: it must not spoil the turns after it.
  template <class Attempt> auto or_as_before(const Attempt& attempt);
  int64_t answer(const answer_sink& sink);
  engine::generation_request request_for(std::vector<int32_t> prompt);
  engine::generator generator_of(const engine::generation_request& request) const;
  std::vector<int32_t> fitting_prompt(int64_t& forgotten);
  std::vector<io::chat_message> with_system() const;
  void try_out();

  sampling_options options_;
  compute_place place_;
  actors::model_ptr model_;
  placed_weights weights_;
  lazy_tokenizer tokens_;
  std::vector<std::string> stops_;
  std::string system_;
  std::vector<io::chat_message> turns_;  ///< user and assistant by turns
  uint64_t next_id_ = 0;
};

}  // namespace troupe
