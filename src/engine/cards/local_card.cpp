#include "engine/cards/local_card.hpp"

#include "base/error.hpp"
#include "engine/cards/card_module.hpp"

#include <charconv>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::engine {

namespace {

using environment = std::function<const char*(const char*)>;

/// None: the text is no number from 0 on.
std::optional<int> number_of(std::string_view text) {
  int number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failure == std::errc() && end == text.data() + text.size() && number >= 0 ? std::optional(number)
                                                                                   : std::nullopt;
}

int required_number(const char* name, const char* value) {
  if (const std::optional<int> number = number_of(value)) {
    return *number;
  }
  throw error(errc::bad_argument, "{} is \"{}\", which is no number of a rank on its host", name, value);
}

/// The cards of this host that ranks may take, in their order.
std::vector<int> cards_to_take(const environment& variable, int cards) {
  std::vector<int> all(static_cast<size_t>(cards));
  std::iota(all.begin(), all.end(), 0);
  const char* const left_out = variable(cards_left_out);
  if (left_out == nullptr) {
    return all;
  }
  const char* const host = variable("SLURMD_NODENAME");
  std::vector<int> left = all;
  std::istringstream entries(left_out);
  for (std::string entry; entries >> entry;) {
    const size_t colon = entry.rfind(':');
    const std::string_view of = std::string_view(entry).substr(0, colon);
    const std::optional<int> card =
        colon == std::string::npos ? std::nullopt : number_of(std::string_view(entry).substr(colon + 1));
    if (!card) {
      throw error(errc::bad_argument, "{} is \"{}\": give hosts and numbers of cards: node2:1", cards_left_out,
                  left_out);
    }
    if (of.empty() || (host != nullptr && of == host)) {
      std::erase(left, *card);
    }
  }
  const char* const ranks = variable("OMPI_COMM_WORLD_LOCAL_SIZE");
  const size_t needed =
      ranks != nullptr ? static_cast<size_t>(required_number("OMPI_COMM_WORLD_LOCAL_SIZE", ranks)) : 1;
  return left.size() < needed ? all : left;
}

}  // namespace

int local_card(const environment& variable, int cards) {
  const std::vector<int> takes = cards_to_take(variable, cards);
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"}) {
    const char* const value = variable(name);
    if (value == nullptr) {
      continue;
    }
    if (std::string_view(name) == "SLURM_LOCALID" && variable("SLURM_GPUS_PER_TASK") != nullptr) {
      return 0;
    }
    const int number = required_number(name, value);
    if (static_cast<size_t>(number) >= takes.size()) {
      const auto left_out = cards - static_cast<int>(takes.size());
      throw error(errc::bad_argument,
                  "this is rank {} of its host, counted from 0 ({}), and the host shows it {} card{}{}: start as many "
                  "ranks on a host as it has cards",
                  number, name, cards, cards == 1 ? "" : "s",
                  left_out == 0 ? ""
                                : fmt::format(", {} of which {} left out since {} failed ({})", left_out,
                                              left_out == 1 ? "is" : "are", left_out == 1 ? "it has" : "they have",
                                              cards_left_out));
    }
    return takes[static_cast<size_t>(number)];
  }
  return takes.front();
}

std::unique_ptr<device> open_local_card(const std::string& asked_by) {
  const card_module cards(usual_places());
  if (cards.cards() == 0) {
    throw error(errc::unsupported, "{}: {}", asked_by, cards.why_none());
  }
  return cards.open(local_card([](const char* name) { return std::getenv(name); }, cards.cards()));
}

}  // namespace troupe::engine
