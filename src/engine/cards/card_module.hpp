/// The cards of this host, through a module that is loaded at run time: where there is no driver, nothing is, and the
/// program runs on CPUs.
#pragma once

#include "kernels/device_module.hpp"

#include <memory>
#include <string>
#include <vector>

namespace troupe::engine {

struct module_places {
  /// The driver's library, tried first: the module takes seconds to load, and can do nothing without it. Empty: no
  /// driver is needed, as for a card that is emulated.
  std::string driver = "libcuda.so.1";
  std::vector<std::string> modules;  ///< paths; the first that is there is loaded
};

/// Beside this program, or where an installation has it. The environment variable TROUPE_CUDA_MODULE names another,
/// which then says itself what it needs: for tests.
module_places usual_places();

/// What a card tells of itself.
struct card_answer {
  device_facts facts;
  std::string failure;  ///< why it tells nothing, with its name (base/card_name.hpp); empty: it does
};

/// What is there. Empty of cards, it has the reason.
class card_module {
public:
  /// Loads the module, for the rest of the process.
  explicit card_module(const module_places& places);

  int cards() const { return static_cast<int>(answers_.size()); }  ///< those that tell nothing included
  /// Why there are none, and what to do, in a line: "this host has no NVIDIA driver (...)". Empty where there are.
  const std::string& why_none() const { return why_none_; }
  const std::vector<card_answer>& answers() const { return answers_; }  ///< of each card
  const device_facts* first_facts() const;                              ///< null: no card tells any
  /// By what the cards have wires to those of other ranks: "NCCL 2.28.9"; "none: ...", with the reason. Of cards only.
  std::string wires() const;

  /// Errors  bad_argument: there is no card of that number; unsupported; device_failure, also of a card that tells
  ///         nothing.
  std::unique_ptr<device> open(int index) const;

private:
  std::string load(const module_places& places);

  const kernels::device_module* module_ = nullptr;
  std::string why_none_;
  std::vector<card_answer> answers_;
};

}  // namespace troupe::engine
