#include "engine/parallel/between_cards.hpp"

#include "base/error.hpp"
#include "engine/parallel/card_wires.hpp"
#include "engine/parallel/device_ranks.hpp"
#include "engine/parallel/staged.hpp"
#include "kernels/join.hpp"

#include <cstring>
#include <map>
#include <utility>

namespace troupe::engine {

namespace {

constexpr const char* through_host = "arrays on cards go from rank to rank through host memory";
constexpr const char* by_wires = "arrays on cards go from card to card by NCCL";

/// What was settled for a card, and the wires that it has since got.
class settled final : public kept_with_device {
public:
  settled(device& on, const exchange_settings& how, int rank) : settings(how), rank(rank), over(on, how.deadline) {}

  exchange_settings settings;
  int rank;  ///< of this process
  card_wires over;
  /// By their ranks: who shares a group with the same ranks shares their wire. Null: it could not be joined.
  std::map<std::vector<int>, std::shared_ptr<wire>> wires;
};

std::vector<std::string> texts_of_all(communicator& group, const std::string& mine) {
  std::vector<std::string> all;
  for (const auto& bytes : gather_bytes(group, std::as_bytes(std::span(mine)), {.label = "wires between cards"})) {
    all.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return all;
}

/// Of the first rank that has any: "rank 2: its card is ..."; empty: none has.
std::string first_reason(const std::vector<std::string>& reason_R) {
  for (size_t r = 0; r < reason_R.size(); ++r) {
    if (!reason_R[r].empty()) {
      return fmt::format("rank {}: {}", r, reason_R[r]);
    }
  }
  return "";
}

/// Why the ranks cannot have wires; empty: they can.
std::string why_no_wires(communicator& group, device& on) {
  if (static_cast<size_t>(group.size()) > kernels::most_pieces_on_a_card) {
    return fmt::format("there are {} ranks, and a card joins what {} give at most", group.size(),
                       kernels::most_pieces_on_a_card);
  }
  if (const std::string reason = first_reason(texts_of_all(group, on.why_no_wire())); !reason.empty()) {
    return reason;
  }
  const std::vector<std::string> uuid_R = texts_of_all(group, on.facts().uuid);
  std::map<std::string, size_t> rank_of;
  for (size_t r = 0; r < uuid_R.size(); ++r) {
    const auto [found, first] = rank_of.emplace(uuid_R[r], r);
    if (!first && !uuid_R[r].empty()) {
      return fmt::format("ranks {} and {} share a card ({}), and each needs one of its own", found->second, r,
                         uuid_R[r]);
    }
  }
  return "";
}

void tell(const settled& here, const communicator& group, const std::string& line) {
  if (group.rank() == 0 && here.settings.tell) {
    here.settings.tell(line);
  }
}

/// By all ranks alike.
void refuse_or_tell(settled& here, const communicator& group, const std::string& reason) {
  if (here.settings.wanted == card_exchange::wires) {
    throw error(errc::unsupported,
                "place.exchange = nccl: {} (auto takes the way through host memory instead, which is slower)", reason);
  }
  tell(here, group, fmt::format("{}: {}", through_host, reason));
}

std::vector<int> ranks_of(communicator& group, int mine) {
  std::vector<int> ranks;
  for (const auto& bytes : gather_bytes(group, std::as_bytes(std::span(&mine, 1)), {.label = "ranks with cards"})) {
    int rank = -1;
    std::memcpy(&rank, bytes.data(), std::min(sizeof(rank), bytes.size()));
    ranks.push_back(rank);
  }
  return ranks;
}

/// Null: not all could join, which all know.
std::shared_ptr<wire> join(settled& here, checked_communicator& group) {
  device& on = here.over.on();
  std::string reason;
  wire_id id;
  if (group.rank() == 0) {
    try {
      id = on.new_wire_id();
    } catch (const error& failure) {
      reason = failure.what();
    }
  }
  id = gather_bytes(group, id, {.label = "a wire's id"}).front();
  std::shared_ptr<wire> made;
  if (!id.empty()) {
    try {
      made = on.join(id, group.rank(), group.size(), group.name(), here.settings.join_deadline);
    } catch (const error& failure) {
      reason = failure.what();
    }
  }
  const std::string first = first_reason(texts_of_all(group, reason));
  if (!first.empty()) {
    refuse_or_tell(here, group, first);
    return nullptr;
  }
  return made;
}

}  // namespace

void settle_exchange(communicator& group, device& on, const exchange_settings& settings) {
  auto here = std::make_unique<settled>(on, settings, group.rank());
  if (settings.wanted == card_exchange::host) {
    tell(*here, group, fmt::format("{}: place.exchange = host", through_host));
    return;
  }
  if (const std::string reason = why_no_wires(group, on); !reason.empty()) {
    refuse_or_tell(*here, group, reason);
    return;
  }
  tell(*here, group, by_wires);
  on.keep(kept_thing::wires, std::move(here));
}

communicator_ptr between_cards(communicator_ptr by, device* on) {
  auto* const here = on != nullptr ? static_cast<settled*>(on->kept(kept_thing::wires)) : nullptr;
  const auto group = std::dynamic_pointer_cast<checked_communicator>(by);
  if (here == nullptr || group == nullptr) {
    return staged(std::move(by), on);
  }
  const std::vector<int> ranks = ranks_of(*group, here->rank);
  auto found = here->wires.find(ranks);
  if (found == here->wires.end()) {
    found = here->wires.emplace(ranks, join(*here, *group)).first;
  }
  return found->second != nullptr ? device_ranks(*group, found->second, here->over) : staged(std::move(by), on);
}

}  // namespace troupe::engine
