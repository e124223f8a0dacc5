// What a wire between cards does with one rank, which is all that one card can show: it is joined, sends to itself,
// gathers and broadcasts, within a deadline; the collectives of the engine over it; then it is aborted in the midst of
// nothing.
#include "base/error.hpp"
#include "engine/parallel/between_cards.hpp"

#include <fmt/format.h>

#include "gpu/measure.hpp"
#include <algorithm>
#include <chrono>
#include <cstring>

namespace troupe::gpu_check {

namespace {

constexpr std::chrono::seconds patience{15};

/// The card's memory after a call of the wire that all before has to precede.
template <class Calls> std::vector<float> after(device& card, const std::byte* at, size_t count, const Calls& calls) {
  card.await(queue::wire, card.record(queue::compute));
  calls();
  card.await(queue::compute, card.record(queue::wire));
  std::vector<float> values(count);
  finish(card);  // or the copy would wait, and no patience would end that
  card.copy(queue::compute, values.data(), at, static_cast<int64_t>(count * sizeof(float)));
  finish(card);
  return values;
}

/// By the engine's own way, which settles that this rank has wires.
std::string collectives(subject& of, float* whole, size_t count) {
  const auto alone = engine::solo_world();
  std::string told;
  engine::settle_exchange(
      *alone->open("cards"), of.card,
      {.wanted = of.card.why_no_wire().empty() ? engine::card_exchange::wires : engine::card_exchange::automatic,
       .deadline = patience,
       .join_deadline = patience,
       .tell = [&](const std::string& line) { told = line; }});
  const auto group = engine::between_cards(alone->open("check"), &of.card);
  const std::vector<int64_t> all{0, static_cast<int64_t>(count)};
  group->reduce_scatter({whole, count}, all, {whole, count}).wait();
  group->all_gather(reals(whole), static_cast<int64_t>(count), all).wait();
  return told;
}

}  // namespace

outcome wires(subject& of) {
  constexpr size_t count = 4096;
  constexpr auto bytes = static_cast<int64_t>(count * sizeof(float));
  card_arrays arrays(of.card);
  std::byte* const at = arrays.bytes(2 * bytes);
  std::vector<float> given(2 * count);
  for (size_t i = 0; i < count; ++i) {
    given[i] = static_cast<float>(i);
  }
  of.card.copy(queue::compute, at, given.data(), 2 * bytes);
  const std::string reason = of.card.why_no_wire();
  if (!reason.empty() && !of.emulated) {
    return {.text = "left out: " + reason};
  }
  const auto begun = std::chrono::steady_clock::now();
  const auto joined = of.card.join(of.card.new_wire_id(), 0, 1, "gpu check", patience);
  const double join_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();

  const std::vector<float> want(given.begin(), given.begin() + count);
  std::vector<std::string> wrong;
  const auto expect = [&](const char* what, const std::vector<float>& found) {
    if (found != want) {
      wrong.emplace_back(what);
    }
  };
  const wire::message sent{.peer = 0, .at = at, .bytes = bytes};
  const wire::message received{.peer = 0, .at = at + bytes, .bytes = bytes};
  expect("a message to itself",
         after(of.card, at + bytes, count, [&] { joined->exchange(std::span(&sent, 1), std::span(&received, 1)); }));
  const std::vector<int64_t> all{0, bytes};
  expect("all_gather", after(of.card, at, count, [&] { joined->all_gather(at, all); }));
  expect("broadcast", after(of.card, at, count, [&] { joined->broadcast(at, bytes, 0); }));
  if (const std::string failure = joined->failure(); !failure.empty()) {
    wrong.push_back(failure);
  }
  const std::string told = collectives(of, reinterpret_cast<float*>(at), count);
  expect("the engine's collectives", after(of.card, at, count, [] {}));
  joined->abort();

  std::string text = fmt::format("joined in {:.2f} s; {}", join_s, told);
  for (const std::string& one : wrong) {
    text += fmt::format("; WRONG: {}", one);
  }
  return {.good = wrong.empty(), .text = text, .figures = {{"join_s", join_s}}};
}

}  // namespace troupe::gpu_check
