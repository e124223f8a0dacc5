#include "kernels/cuda/page_ranges.hpp"

#include "base/assert.hpp"
#include "base/card_memory_text.hpp"
#include "base/error.hpp"
#include "base/round_up.hpp"

#include <algorithm>

namespace troupe::kernels::cuda {

page_ranges::page_ranges(page_source& source, work_clock& clock, std::string card, int64_t left_to_driver)
    : source_(source), clock_(clock), card_(std::move(card)), left_to_driver_(left_to_driver) {}

void page_ranges::free_all() {
  while (!ranges_.empty()) {
    free(ranges_.begin()->second->at);
  }
  destroy_free();
}

bool page_ranges::give_back_free() {
  while (collect(true)) {
  }
  const bool some = !free_pages_.empty() || !free_large_.empty();
  destroy_free();
  return some;
}

void page_ranges::destroy_free() {
  for (const auto* pieces : {&free_pages_, &free_large_}) {
    for (const page_source::piece memory : *pieces) {
      source_.destroy(memory);
    }
  }
  free_pages_.clear();
  free_large_.clear();
}

page_ranges::~page_ranges() {
  try {
    free_all();
  } catch (const error&) {  // of a card that has failed: its memory goes with the process
  }
}

std::byte* page_ranges::reserve(int64_t bytes, const std::string& holder) {
  auto made = std::make_unique<range>();
  made->reserved = std::max<int64_t>(bytes, 1);
  made->bytes = round_up(made->reserved, page_size);
  made->at = source_.reserve(made->reserved);
  made->holder = holder;
  made->piece_P.resize(static_cast<size_t>(made->bytes / page_size));
  made->wanted_P.resize(made->piece_P.size());
  std::byte* const at = made->at;
  ranges_.emplace(at, std::move(made));
  return at;
}

page_ranges::range& page_ranges::range_of(const std::byte* at, int64_t bytes) {
  const auto after = ranges_.upper_bound(at);
  TROUPE_ASSERT(after != ranges_.begin());
  range& found = *std::prev(after)->second;
  TROUPE_ASSERT(bytes >= 0 && at + bytes <= found.at + found.bytes);
  return found;
}

void page_ranges::map(std::byte* at, int64_t bytes) {
  range& in = range_of(at, bytes);
  const int64_t first = (at - in.at) / page_size;
  const int64_t end = round_up(at + bytes - in.at, page_size) / page_size;
  unheld_.reset();
  // First, so that what is here still is not taken in the search for the rest.
  const std::vector<int64_t> kept = want(in, first, end);
  std::vector<mapped_piece*> made;
  const auto undo = [&] {
    std::for_each(made.begin(), made.end(), [&](mapped_piece* piece) { take_back(in, piece); });
    unwant(in, kept);
  };
  bool all = false;
  try {
    all = put_missing(in, first, end, made) && open(in, made);
  } catch (...) {
    undo();
    throw;
  }
  if (!all) {
    undo();
    refuse(in, (end - first) * page_size);
  }
  want(in, first, end);
}

/// `made` becomes what is new, in the order of pages. False: memory has run out in between.
bool page_ranges::put_missing(range& in, int64_t first, int64_t end, std::vector<mapped_piece*>& made) {
  const auto none = [](const mapped_piece* piece) { return piece == nullptr; };
  for (int64_t page = first; page < end; ++page) {
    const auto from = in.piece_P.begin() + page;
    if (*from != nullptr) {
      continue;
    }
    const bool whole = page + pages_of_large_piece <= end && std::all_of(from, from + pages_of_large_piece, none);
    mapped_piece* piece = whole ? put(in, page, pages_of_large_piece) : nullptr;
    piece = piece != nullptr ? piece : put(in, page, 1);
    if (piece == nullptr) {
      return false;
    }
    made.push_back(piece);
  }
  return true;
}

/// Once for all pieces without a gap between them. False: there is no memory for it.
bool page_ranges::open(const range& in, const std::vector<mapped_piece*>& made) {
  for (size_t i = 0; i < made.size();) {
    const int64_t first = made[i]->first;
    int64_t end = first;
    for (; i < made.size() && made[i]->first == end; ++i) {
      end += made[i]->pages;
    }
    if (!source_.open(in.at + first * page_size, (end - first) * page_size)) {
      return false;
    }
  }
  return true;
}

/// Of pages that have memory. Those that nobody wanted before.
std::vector<int64_t> page_ranges::want(range& in, int64_t first, int64_t end) {
  std::vector<int64_t> pages;
  for (int64_t page = first; page < end; ++page) {
    const auto at = static_cast<size_t>(page);
    if (in.piece_P[at] != nullptr && !in.wanted_P[at]) {
      in.wanted_P[at] = true;
      ++in.piece_P[at]->wanted;
      pages.push_back(page);
    }
  }
  return pages;
}

/// What nobody wants any more goes when the work called so far is done: one moment for all of it, since each is a call
/// to the driver for every queue.
void page_ranges::unwant(range& in, const std::vector<int64_t>& pages) {
  std::optional<work_clock::moment> now;
  for (const int64_t page : pages) {
    const auto at = static_cast<size_t>(page);
    in.wanted_P[at] = false;
    mapped_piece* const piece = in.piece_P[at];
    if (--piece->wanted == 0) {
      now = now ? now : clock_.now();
      piece->last_use = *now;
      if (!piece->leaves) {
        piece->leaves = true;
        leaving_.push_back({&in, piece});
      }
    }
  }
}

/// Null: there is no memory for it.
page_ranges::mapped_piece* page_ranges::put(range& in, int64_t page, int64_t pages) {
  const auto memory = take(pages);
  if (!memory) {
    return nullptr;
  }
  bool mapped = false;
  try {
    mapped = source_.map(in.at + page * page_size, pages * page_size, *memory);
  } catch (...) {
    source_.destroy(*memory);
    throw;
  }
  if (!mapped) {
    source_.destroy(*memory);
    return nullptr;
  }
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): each of its pages points to it; `take_back` deletes it.
  auto* const piece = new mapped_piece{.memory = *memory, .first = page, .pages = pages};
  std::fill_n(in.piece_P.begin() + page, pages, piece);
  return piece;
}

std::optional<page_source::piece> page_ranges::take(int64_t pages) {
  auto& spare = pages == 1 ? free_pages_ : free_large_;
  collect(false);
  do {
    if (spare.empty()) {
      if (const auto memory = create(pages * page_size)) {
        return memory;
      }
    }
    if (!spare.empty() || (pages == 1 && split_free())) {
      const page_source::piece memory = spare.back();
      spare.pop_back();
      return memory;
    }
  } while (collect(true));
  return std::nullopt;
}

std::optional<page_source::piece> page_ranges::create(int64_t bytes) {
  if (left_to_driver_ > 0) {
    unheld_ = unheld_ ? unheld_ : source_.free();
    if (*unheld_ - bytes < left_to_driver_) {
      return std::nullopt;
    }
    *unheld_ -= bytes;
  }
  return source_.create(bytes);
}

/// A free large piece becomes free pages. False: there is none.
bool page_ranges::split_free() {
  if (free_large_.empty()) {
    return false;
  }
  source_.destroy(free_large_.back());
  free_large_.pop_back();
  for (int64_t i = 0; i < pages_of_large_piece; ++i) {
    if (const auto memory = source_.create(page_size)) {
      free_pages_.push_back(*memory);
    }
  }
  return !free_pages_.empty();
}

/// Takes what was given up and whose moment has passed, or waits for the first of it. False: there is nothing.
bool page_ranges::collect(bool wait) {
  bool found = false;
  while (!leaving_.empty()) {
    const auto [from, piece] = leaving_.front();
    const bool gone = piece->wanted == 0;  // it has not been mapped again since
    if (gone && wait && !found) {
      clock_.wait(piece->last_use);
    } else if (gone && !clock_.passed(piece->last_use)) {
      break;
    }
    leaving_.pop_front();
    piece->leaves = false;
    if (gone) {
      take_back(*from, piece);
      found = true;
    }
  }
  return found;
}

void page_ranges::take_back(range& from, mapped_piece* piece) {
  source_.unmap(from.at + piece->first * page_size, piece->pages * page_size);
  std::fill_n(from.piece_P.begin() + piece->first, piece->pages, nullptr);
  (piece->pages == 1 ? free_pages_ : free_large_).push_back(piece->memory);
  delete piece;  // NOLINT(cppcoreguidelines-owning-memory): made by `put`
}

void page_ranges::unmap(std::byte* at, int64_t bytes) {
  range& in = range_of(at, bytes);
  const int64_t end = (at + bytes - in.at) / page_size;
  std::vector<int64_t> pages;
  for (int64_t page = round_up(at - in.at, page_size) / page_size; page < end; ++page) {
    if (in.wanted_P[static_cast<size_t>(page)]) {
      pages.push_back(page);
    }
  }
  unwant(in, pages);
}

void page_ranges::free(std::byte* at) {
  const auto found = ranges_.find(at);
  TROUPE_ASSERT(found != ranges_.end());
  range& gone = *found->second;
  unmap(gone.at, gone.bytes);
  while (std::any_of(leaving_.begin(), leaving_.end(), [&](const leaving& one) { return one.from == &gone; })) {
    collect(true);
  }
  source_.give_back(gone.at, gone.reserved);
  ranges_.erase(found);
}

memory_use page_ranges::use() {
  memory_use all;
  int64_t leaving_bytes = 0;
  int64_t mapped_bytes = 0;
  std::map<std::string, int64_t> by_holder;
  for (const auto& [at, one] : ranges_) {
    for (const mapped_piece* piece : one->piece_P) {
      if (piece != nullptr) {
        (piece->wanted > 0 ? by_holder[one->holder] : leaving_bytes) += page_size;
        mapped_bytes += page_size;
      }
    }
  }
  for (const auto& [holder, bytes] : by_holder) {
    all.holders.push_back({.name = holder, .bytes = bytes});
  }
  const int64_t pooled =
      static_cast<int64_t>(free_pages_.size()) * page_size + static_cast<int64_t>(free_large_.size()) * large_piece;
  const int64_t unheld = source_.free();
  all.free = std::max<int64_t>(0, unheld - left_to_driver_) + pooled + leaving_bytes;
  all.left_to_driver = left_to_driver_;
  all.others = std::max<int64_t>(0, source_.total() - unheld - pooled - mapped_bytes);
  return all;
}

void page_ranges::refuse(const range& in, int64_t bytes) {
  throw error(errc::out_of_memory, no_card_memory_text(card_, bytes, in.holder, use(), source_.total()));
}

}  // namespace troupe::kernels::cuda
