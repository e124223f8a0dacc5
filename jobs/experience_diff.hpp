/// The experience of two runs, iteration by iteration.
#pragma once

#include "jobs/experience_list.hpp"
#include "jobs/experience_show.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// How an iteration of one run differs from that of another. Sequences are the same by their ids.
struct iteration_difference {
  int64_t iteration = 0;
  io::experience_summary here, there;
  int64_t both = 0, only_here = 0, only_there = 0;  ///< sequences
  /// Of the sequences in both, those of which something differs to the bit, by what; only what differs is named.
  std::vector<std::pair<std::string, int64_t>> differ;
  std::optional<uint64_t> first;  ///< the first sequence that differs

  bool same() const { return only_here == 0 && only_there == 0 && differ.empty(); }
};

iteration_difference compare(const io::experience& here, const io::experience& there);

struct experience_difference {
  std::vector<iteration_difference> iterations;  ///< that both have
  std::vector<int64_t> only_here, only_there;

  bool same() const;
  bool empty() const;  ///< neither has anything that was compared
};

/// Both requests' files, one of each at a time. `shown`: is given the first `show` sequences that differ, side by side.
experience_difference compare(const experience_request& here, const experience_request& there, int64_t show,
                              const show_settings& settings, std::string& shown);

std::string difference_text(const experience_difference& difference);
std::string difference_json(const experience_difference& difference);

}  // namespace troupe
