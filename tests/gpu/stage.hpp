/// The stages of troupe_gpu_check. Each looks at one thing of a card, in a process of its own, so that what one breaks
/// or hangs in is no matter to the others.
#pragma once

#include "base/context.hpp"
#include "base/device.hpp"
#include "kernels/device_ops.hpp"

#include <chrono>
#include <span>
#include <string>
#include <vector>

namespace troupe::gpu_check {

struct figure {
  std::string name;  ///< with its unit: "copy_gb_per_s"
  double value = 0;
};

struct outcome {
  bool good = true;
  std::string text;  ///< a line
  std::vector<figure> figures;
};

/// What is looked at. An emulated card gets small work: it is there to show that this program itself works.
struct subject {
  device& card;
  context on_host, on_card;
  bool emulated = false;
  std::string out = ".";    ///< the folder for what does not go into a line
  std::string module = {};  ///< of an emulated card
  int seconds = 0;          ///< from `begun` on, after which this process is killed, and what it has found is lost
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();

  /// Of two sizes the one for this card.
  int64_t size(int64_t real, int64_t small) const { return emulated ? small : real; }

  /// Whether to begin another of several pieces of work. One that is begun later may not be done in time.
  bool has_time() const { return std::chrono::steady_clock::now() - begun < std::chrono::seconds(seconds) * 7 / 10; }
};

struct stage {
  const char* name;
  int seconds;  ///< its limit
  const char* what;
  outcome (*run)(subject&);
};

/// In the order in which they run.
std::span<const stage> stages();

outcome facts(subject& of);
outcome ceilings(subject& of);
outcome units(subject& of);
outcome twins(subject& of);
outcome invariance(subject& of);
outcome attention(subject& of);
outcome repeats(subject& of);
outcome models(subject& of);
outcome exactness(subject& of);
outcome sanitizer(subject& of);
outcome speeds(subject& of);
outcome decode(subject& of);
outcome training(subject& of);
outcome wires(subject& of);
outcome ppo(subject& of);

}  // namespace troupe::gpu_check
