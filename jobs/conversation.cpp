#include "jobs/conversation.hpp"

#include "actors/models/special_tokens.hpp"
#include "base/error.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

/// An answer's text as its tokens come, up to the text that ends the turn.
class answer_text {
public:
  answer_text(const io::tokenizer& tokens, const std::vector<std::string>& stops, const answer_sink& sink)
      : decoder_(tokens.make_stream_decoder(true)), stops_(stops), sink_(sink) {}

  /// True when the turn has ended.
  bool push(int32_t id) {
    text_ += decoder_->push(id);
    size_t end = std::string::npos;
    size_t held_back = 0;
    for (const std::string& stop : stops_) {
      end = std::min(end, text_.find(stop));
      held_back = std::max(held_back, longest_begun(stop));
    }
    if (end != std::string::npos) {
      text_.resize(end);
      show_to(end);
      return true;
    }
    show_to(text_.size() - held_back);
    return false;
  }

  std::string finish() {
    text_ += decoder_->finish();
    show_to(text_.size());
    return text_;
  }

private:
  /// How much of the text's end may be the beginning of `stop`: not to be shown yet.
  size_t longest_begun(const std::string& stop) const {
    for (size_t length = std::min(stop.size() - 1, text_.size()); length > 0; --length) {
      if (text_.ends_with(std::string_view(stop).substr(0, length))) {
        return length;
      }
    }
    return 0;
  }

  /// Whole characters only.
  void show_to(size_t end) {
    while (end > shown_ && end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) {
      --end;
    }
    if (end > shown_) {
      sink_.show(std::string_view(text_).substr(shown_, end - shown_));
      shown_ = end;
    }
  }

  std::unique_ptr<io::stream_decoder> decoder_;
  const std::vector<std::string>& stops_;
  const answer_sink& sink_;
  std::string text_;
  size_t shown_ = 0;
};

}  // namespace

conversation::conversation(const std::string& folder, const sampling_options& options, const io::chat_settings& chat,
                           const std::string& system)
    : options_(options), place_(options.threads, options.device),
      model_(actors::load_model(folder, actors::head_kind::language_model, {.type = options.type})),
      weights_(place_, *model_), tokens_(folder, chat), stops_(options.stop), system_(system) {
  if (std::string end = io::end_of_turn_text(tokens_.format()); !end.empty()) {
    stops_.push_back(std::move(end));
  }
  try_out();
}

template <class Attempt> auto conversation::or_as_before(const Attempt& attempt) {
  const std::vector<io::chat_message> turns = turns_;
  const std::string system = system_;
  try {
    return attempt();
  } catch (...) {
    turns_ = turns;
    system_ = system;
    throw;
  }
}

void conversation::try_out() {
  const std::vector<io::chat_message> said = turns_;
  or_as_before([&] {
    turns_ = {{"user", "Hello"}};
    int64_t forgotten = 0;
    engine::generation_request request = request_for(fitting_prompt(forgotten));
    generator_of(request).submit(std::move(request));
  });
  turns_ = said;
}

int64_t conversation::say(const std::string& text, const answer_sink& sink) {
  return or_as_before([&] {
    turns_.push_back({"user", text});
    return answer(sink);
  });
}

int64_t conversation::retry(const answer_sink& sink) {
  if (turns_.empty()) {
    throw error(errc::bad_argument, "there is no message yet to answer once more");
  }
  return or_as_before([&] {
    turns_.pop_back();
    return answer(sink);
  });
}

void conversation::clear() { turns_.clear(); }

void conversation::set_system(const std::string& text) {
  or_as_before([&] {
    system_ = text;
    try_out();
  });
}

std::string conversation::as_json_line() const {
  io::json_line messages = io::json_line::array();
  for (const io::chat_message& turn : with_system()) {
    messages.push_back({{"role", turn.role}, {"content", turn.content}});
  }
  return io::json_line_text({{"messages", std::move(messages)}});
}

/// Shown as it comes, and remembered as far as it came.
int64_t conversation::answer(const answer_sink& sink) {
  int64_t forgotten = 0;
  engine::generation_request request = request_for(fitting_prompt(forgotten));
  answer_text text(*tokens_.get(), stops_, sink);
  request.stop = [&](std::span<const int32_t> ids) { return text.push(ids.back()); };
  engine::generator generator = generator_of(request);
  generator.submit(std::move(request));
  while (!generator.idle() && !sink.enough()) {
    generator.step(place_.ctx());
  }
  ++next_id_;
  turns_.push_back({"assistant", text.finish()});
  return forgotten;
}

engine::generation_request conversation::request_for(std::vector<int32_t> prompt) {
  engine::generation_request request;
  request.prompt = std::move(prompt);
  request.sequence_ids = {next_id_};
  request.max_new_tokens = options_.max_new_tokens;
  request.sampling = options_.sampling;
  request.seed = options_.seed;
  request.stop_tokens = actors::stop_tokens_of(*model_, *tokens_.get());
  if (const auto end = tokens_.end_of_turn_token()) {
    request.stop_tokens.push_back(*end);
  }
  return request;
}

engine::generator conversation::generator_of(const engine::generation_request& request) const {
  return {
      model_->net, weights_.data(),
      generator_for(model_->net.description(), 1, static_cast<int64_t>(request.prompt.size()), options_.max_new_tokens),
      place_.card()};
}

std::vector<int32_t> conversation::fitting_prompt(int64_t& forgotten) {
  const int64_t positions = model_->net.description().max_positions;
  const int64_t room = std::max<int64_t>(1, positions - options_.max_new_tokens);
  for (;;) {
    auto ids = tokens_.encode_rendered(tokens_.format().render(with_system(), true));
    if (static_cast<int64_t>(ids.size()) <= room) {
      return ids;
    }
    if (turns_.size() < 3) {
      throw error(
          errc::bad_argument,
          "the message takes {} tokens, and only {} of the model's {} positions are left beside an answer of {}: "
          "make it shorter, or lower --max-new-tokens",
          ids.size(), room, positions, options_.max_new_tokens);
    }
    turns_.erase(turns_.begin(), turns_.begin() + 2);
    ++forgotten;
  }
}

std::vector<io::chat_message> conversation::with_system() const {
  std::vector<io::chat_message> all;
  if (!system_.empty()) {
    all.push_back({"system", system_});
  }
  all.insert(all.end(), turns_.begin(), turns_.end());
  return all;
}

}  // namespace troupe
