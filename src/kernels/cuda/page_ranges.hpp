/// The memory of a card: ranges of addresses that stay where they are while their pages come and go, out of one pool
/// for all of them. Knows nothing of CUDA; pages come from a `page_source`.
#pragma once

#include "base/device.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::kernels::cuda {

inline constexpr int64_t page_size = int64_t{2} << 20;

/// Pages that come and go as one where so many are mapped at once, wherever they begin: a driver maps pieces of any
/// size in the same time, and many small ones make it slow.
inline constexpr int64_t pages_of_large_piece = 32;
inline constexpr int64_t large_piece = pages_of_large_piece * page_size;

/// What a driver does for memory.
class page_source {
public:
  using piece = uint64_t;  ///< physical memory, one page or `large_piece`

  virtual ~page_source() = default;
  /// Addresses without memory, for `bytes` rounded up to whole pages.
  virtual std::byte* reserve(int64_t bytes) = 0;
  virtual void give_back(std::byte* at, int64_t bytes) = 0;  ///< as they were reserved
  /// Nothing: there is no more.
  virtual std::optional<piece> create(int64_t bytes) = 0;
  virtual void destroy(piece memory) = 0;
  /// Puts a piece at whole pages, of which nobody may use any before `open`. False: there is no memory for the driver's
  /// own tables.
  virtual bool map(std::byte* at, int64_t bytes, piece memory) = 0;
  /// Of pieces that lie one behind the other, all by one call. False: as in `map`.
  virtual bool open(std::byte* at, int64_t bytes) = 0;
  virtual void unmap(std::byte* at, int64_t bytes) = 0;  ///< of one piece, opened or not
  virtual int64_t free() = 0;                            ///< bytes that nobody holds
  virtual int64_t total() = 0;                           ///< bytes of the card
};

/// When memory that work still uses may go.
class work_clock {
public:
  using moment = std::array<mark, 4>;  ///< in each queue

  virtual ~work_clock() = default;
  virtual moment now() = 0;  ///< all work called so far
  virtual bool passed(const moment& then) = 0;
  virtual void wait(const moment& then) = 0;
};

/// Not for several threads at once.
class page_ranges {
public:
  /// `card` is what errors call it: "card 0 (NVIDIA H100, host x)". No page is made of the last `left_to_driver` bytes
  /// that the source has: the driver takes memory by itself, and what it then calls for fails where there is none.
  page_ranges(page_source& source, work_clock& clock, std::string card, int64_t left_to_driver);
  ~page_ranges();
  /// Of all ranges; for who wants to know whether that failed.
  void free_all();
  page_ranges(const page_ranges&) = delete;
  page_ranges& operator=(const page_ranges&) = delete;

  // As in `device`.
  std::byte* reserve(int64_t bytes, const std::string& holder);
  void map(std::byte* at, int64_t bytes);
  void unmap(std::byte* at, int64_t bytes);
  void free(std::byte* range);
  memory_use use();

  /// Gives the source what nobody has mapped, for memory that the driver takes by itself; waits for work that still
  /// uses it. False: there was nothing.
  bool give_back_free();

private:
  struct mapped_piece {
    page_source::piece memory = 0;
    int64_t first = 0, pages = 1;  ///< of its range
    int64_t wanted = 0;            ///< pages that somebody has mapped; 0: it goes when its moment has passed
    bool leaves = false;           ///< is in `leaving_`
    work_clock::moment last_use{};
  };
  struct range {
    std::byte* at = nullptr;
    int64_t reserved = 0;  ///< bytes
    int64_t bytes = 0;     ///< of its pages
    std::string holder;
    std::vector<mapped_piece*> piece_P;  ///< of each page; null: it has none
    std::vector<bool> wanted_P;
  };
  struct leaving {
    range* from;
    mapped_piece* piece;
  };

  range& range_of(const std::byte* at, int64_t bytes);
  bool put_missing(range& in, int64_t first, int64_t end, std::vector<mapped_piece*>& made);
  bool open(const range& in, const std::vector<mapped_piece*>& made);
  std::vector<int64_t> want(range& in, int64_t first, int64_t end);
  void unwant(range& in, const std::vector<int64_t>& pages);
  mapped_piece* put(range& in, int64_t page, int64_t pages);
  std::optional<page_source::piece> take(int64_t pages);
  std::optional<page_source::piece> create(int64_t bytes);
  bool split_free();
  void take_back(range& from, mapped_piece* piece);
  bool collect(bool wait);
  void destroy_free();
  [[noreturn]] void refuse(const range& in, int64_t bytes);

  page_source& source_;
  work_clock& clock_;
  std::string card_;
  int64_t left_to_driver_;
  std::optional<int64_t> unheld_;  ///< bytes that the source has, asked for once for a call of `map`
  std::map<const std::byte*, std::unique_ptr<range>> ranges_;  ///< by their first address
  std::deque<leaving> leaving_;                                ///< in the order in which they were given up
  std::vector<page_source::piece> free_pages_, free_large_;
};

}  // namespace troupe::kernels::cuda
