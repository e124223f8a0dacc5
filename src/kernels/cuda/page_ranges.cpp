#include "kernels/cuda/page_ranges.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"
#include "base/round_up.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe::kernels::cuda {

namespace {

std::string mib(int64_t bytes) { return fmt::format("{} MiB", (bytes + (1 << 20) - 1) >> 20); }

}  // namespace

page_ranges::page_ranges(page_source& source, work_clock& clock, std::string card)
    : source_(source), clock_(clock), card_(std::move(card)) {}

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
  made->bytes = round_up(std::max<int64_t>(bytes, 1), large_piece);
  made->at = source_.reserve(made->bytes);
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
  std::vector<int64_t> mapped;
  if (!map_pages(in, first, end, mapped)) {
    std::for_each(mapped.begin(), mapped.end(), [&](int64_t page) { unwant(in, page); });
    refuse(in, (end - first) * page_size);
  }
}

/// `mapped` becomes the pages that nobody wanted before. False: memory has run out in between.
bool page_ranges::map_pages(range& in, int64_t first, int64_t end, std::vector<int64_t>& mapped) {
  for (int64_t page = first; page < end; ++page) {
    if (in.piece_P[static_cast<size_t>(page)] == nullptr) {
      const auto none = [](const mapped_piece* piece) { return piece == nullptr; };
      const auto from = in.piece_P.begin() + page;
      const bool whole = page % pages_of_large_piece == 0 && page + pages_of_large_piece <= end &&
                         std::all_of(from, from + pages_of_large_piece, none);
      if (!(whole && put(in, page, pages_of_large_piece)) && !put(in, page, 1)) {
        return false;
      }
    }
    want(in, page, mapped);
  }
  return true;
}

void page_ranges::want(range& in, int64_t page, std::vector<int64_t>& mapped) {
  const auto at = static_cast<size_t>(page);
  if (!in.wanted_P[at]) {
    in.wanted_P[at] = true;
    ++in.piece_P[at]->wanted;
    mapped.push_back(page);
  }
}

void page_ranges::unwant(range& in, int64_t page) {
  const auto at = static_cast<size_t>(page);
  in.wanted_P[at] = false;
  mapped_piece* const piece = in.piece_P[at];
  if (--piece->wanted == 0) {
    piece->last_use = clock_.now();
    if (!piece->leaves) {
      piece->leaves = true;
      leaving_.push_back({&in, piece});
    }
  }
}

/// False: there is no memory for it.
bool page_ranges::put(range& in, int64_t page, int64_t pages) {
  const auto memory = take(pages);
  if (!memory) {
    return false;
  }
  source_.map(in.at + page * page_size, pages * page_size, *memory);
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): each of its pages points to it; `take_back` deletes it.
  auto* const piece = new mapped_piece{.memory = *memory, .first = page, .pages = pages};
  std::fill_n(in.piece_P.begin() + page, pages, piece);
  return true;
}

std::optional<page_source::piece> page_ranges::take(int64_t pages) {
  auto& spare = pages == 1 ? free_pages_ : free_large_;
  collect(false);
  do {
    if (!spare.empty()) {
      const page_source::piece memory = spare.back();
      spare.pop_back();
      return memory;
    }
    if (const auto memory = source_.create(pages * page_size)) {
      return memory;
    }
    if (pages == 1 && !free_large_.empty()) {  // one of which becomes single pages
      source_.destroy(free_large_.back());
      free_large_.pop_back();
      if (const auto memory = source_.create(page_size)) {
        return memory;
      }
    }
  } while (collect(true));
  return std::nullopt;
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
  for (int64_t page = round_up(at - in.at, page_size) / page_size; page < end; ++page) {
    if (in.wanted_P[static_cast<size_t>(page)]) {
      unwant(in, page);
    }
  }
}

void page_ranges::free(std::byte* at) {
  const auto found = ranges_.find(at);
  TROUPE_ASSERT(found != ranges_.end());
  range& gone = *found->second;
  unmap(gone.at, gone.bytes);
  while (std::any_of(leaving_.begin(), leaving_.end(), [&](const leaving& one) { return one.from == &gone; })) {
    collect(true);
  }
  source_.give_back(gone.at, gone.bytes);
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
  all.free = unheld + pooled + leaving_bytes;
  all.others = std::max<int64_t>(0, source_.total() - unheld - pooled - mapped_bytes);
  return all;
}

void page_ranges::refuse(const range& in, int64_t bytes) {
  const memory_use held = use();
  std::string text = fmt::format("{}: {} for {} are not there. Of {} the program holds", card_, mib(bytes), in.holder,
                                 mib(source_.total()));
  for (const memory_use::holder& one : held.holders) {
    text += fmt::format(" {} for {},", mib(one.bytes), one.name);
  }
  if (held.holders.empty()) {
    text += " nothing,";
  }
  throw error(errc::out_of_memory,
              text + fmt::format(" and others (the driver and other processes) {}. Take fewer tokens or samples at a "
                                 "time, or weights in bf16; a job can keep in host memory what it learns with "
                                 "(place.optimizer = host) and the weights of models that only score (place.frozen = "
                                 "host): `troupe plan JOB.ini --device-gib {}` names options by which it would fit",
                                 mib(held.others), std::max<int64_t>(1, (source_.total() - held.others) >> 30)));
}

}  // namespace troupe::kernels::cuda
