#include "engine/generate/run_ahead.hpp"

#include <algorithm>
#include <utility>

namespace troupe::engine {

bool run_ahead::takes(std::span<sequence* const> sequences) {
  return !sequences.empty() && sequences.size() <= static_cast<size_t>(card_decoder::most_rows) &&
         std::all_of(sequences.begin(), sequences.end(),
                     [](const sequence* s) { return s->pending() == 1 && s->followers.empty(); });
}

void run_ahead::launch(context& ctx, const std::vector<decode_row>& rows) {
  decoder_.launch(ctx, rows);
  step& launched = steps_.emplace_back();
  for (const decode_row& row : rows) {
    ++row.of->ahead;
    launched.push_back(row.of);
  }
}

void run_ahead::begin(context& ctx, std::vector<sequence*> sequences) {
  decoder_.begin(sequences);
  std::vector<decode_row> rows;
  for (sequence* s : sequences) {
    rows.push_back({.of = s});
  }
  launch(ctx, rows);
}

bool run_ahead::follow(context& ctx) {
  if (decoder_.full()) {
    return false;
  }
  const step& before = steps_.back();
  std::vector<decode_row> rows;
  for (size_t n = 0; n < before.size(); ++n) {
    sequence* s = before[n];
    if (s == nullptr || s->length() + s->ahead >= s->limit) {
      continue;
    }
    if (!reserve_pages(cache_, *s, s->ahead + 1)) {
      return false;
    }
    rows.push_back({.of = s, .source = static_cast<int32_t>(n)});
  }
  if (rows.empty()) {
    return false;
  }
  launch(ctx, rows);
  return true;
}

std::vector<sequence*> run_ahead::take() {
  const auto drawn = decoder_.take();
  const step oldest = std::move(steps_.front());
  steps_.pop_front();
  std::vector<sequence*> live;
  for (size_t n = 0; n < oldest.size(); ++n) {
    sequence* s = oldest[n];
    if (s == nullptr) {
      ++dropped_tokens_;
      continue;
    }
    --s->ahead;
    s->drawn = drawn[n];
    live.push_back(s);
  }
  for (const sequence* s : live) {
    if (s->drawn.token < 0) {
      drop();
      fail_not_finite(*s);
    }
  }
  return live;
}

void run_ahead::forget(const sequence& ended) {
  for (step& one : steps_) {
    std::replace_if(
        one.begin(), one.end(), [&](const sequence* s) { return s == &ended; }, nullptr);
  }
  const auto has_ended = [](const sequence* s) { return s == nullptr; };
  if (!steps_.empty() && std::all_of(steps_.front().begin(), steps_.front().end(), has_ended)) {
    drop();
  }
}

void run_ahead::drop() {
  for (const step& one : steps_) {
    for (sequence* s : one) {
      if (s != nullptr) {
        s->ahead = 0;
      }
      ++dropped_tokens_;
    }
  }
  steps_.clear();
  decoder_.drop();
}

}  // namespace troupe::engine
