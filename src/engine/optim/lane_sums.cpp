#include "engine/optim/lane_sums.hpp"

#include "base/error.hpp"
#include "kernels/activation.hpp"

#include <algorithm>
#include <bit>

namespace troupe::engine {

void lane_sums::make_buffer() {
  buffers_.emplace_back(size_, dtype::f32, place_);
  free_.push_back(buffers() - 1);
}

void lane_sums::hold(int64_t count) {
  while (buffers() < count) {
    make_buffer();
  }
  for (int64_t buffer = 0; buffer < count; ++buffer) {
    buffers_[static_cast<size_t>(buffer)].take(0, size_);
  }
}

int64_t lane_sums::take_buffer() {
  if (free_.empty()) {
    make_buffer();
  }
  const int64_t buffer = free_.back();
  buffers_[static_cast<size_t>(buffer)].take(0, size_);
  free_.pop_back();
  return buffer;
}

/// Its memory stays: pages that go and come cost more than zeros.
void lane_sums::release(int64_t buffer) {
  buffers_[static_cast<size_t>(buffer)].clear(0, size_);
  free_.push_back(buffer);
}

/// Joins as many equal-sized sums as the open lane's number has trailing one bits.
void lane_sums::close(context& ctx) {
  while (sums_.size() > 1 && sums_.back().level == sums_[sums_.size() - 2].level) {
    const sum right = sums_.back();
    sums_.pop_back();
    sum& left = sums_.back();
    ++left.level;
    if (left.buffer < 0) {
      left.buffer = right.buffer;
    } else if (right.buffer >= 0) {
      kernels::add_in_place(ctx, at(left.buffer), at(right.buffer), size_);
      release(right.buffer);
    }
  }
}

float* lane_sums::enter(context& ctx, int64_t lane) {
  if (lane < lane_ || lane >= lanes_ || joining_) {
    throw error(errc::bad_argument,
                "lane {} of {} of the gradients is closed, lane {} is being summed: take the micro-batches in "
                "learner::order",
                lane, lanes_, lane_);
  }
  while (lane_ < lane) {
    close(ctx);
    sums_.push_back({});
    ++lane_;
  }
  if (sums_.back().buffer < 0) {
    sums_.back().buffer = take_buffer();
  }
  return at(sums_.back().buffer);
}

float* lane_sums::joined(context& ctx, int64_t first, int64_t count) {
  // The lanes that are still to come are absent, so what is on the stack is joined from its end, whatever the levels.
  joining_ = true;
  int64_t right = -1;
  for (auto left = sums_.rbegin(); left != sums_.rend(); ++left) {
    if (left->buffer < 0) {
      continue;
    }
    if (right >= 0) {
      kernels::add_in_place(ctx, at(left->buffer) + first, at(right) + first, count);
    }
    right = left->buffer;
  }
  if (right < 0) {
    right = take_buffer();
    sums_.push_back({.level = 0, .buffer = right});
  }
  return at(right) + first;
}

void lane_sums::clear() {
  for (const sum& lanes : sums_) {
    if (lanes.buffer >= 0) {
      release(lanes.buffer);
    }
  }
  if (place_.on != nullptr) {
    for (paged_arena& buffer : buffers_) {
      buffer.release(0, size_);
    }
  }
  sums_.clear();
  lane_ = -1;
  joining_ = false;
}

int64_t lane_sums::buffers_for(int64_t lanes) {
  return std::bit_width(static_cast<uint64_t>(std::max<int64_t>(lanes, 1)));
}

}  // namespace troupe::engine
