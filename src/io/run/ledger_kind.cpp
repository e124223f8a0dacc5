#include "io/run/ledger_kind.hpp"

namespace troupe::io {
namespace {

/// Null: there is no such event. The compiler sees to it that none is missing.
constexpr const char* name_of(ledger_kind kind) {
  switch (kind) {
  case ledger_kind::run_started:
    return "run_started";
  case ledger_kind::attempt_started:
    return "attempt_started";
  case ledger_kind::worker_failed:
    return "worker_failed";
  case ledger_kind::worker_hung:
    return "worker_hung";
  case ledger_kind::host_suspected:
    return "host_suspected";
  case ledger_kind::card_suspected:
    return "card_suspected";
  case ledger_kind::recovered:
    return "recovered";
  case ledger_kind::checkpoint:
    return "checkpoint";
  case ledger_kind::checkpoint_damaged:
    return "checkpoint_damaged";
  case ledger_kind::checkpoint_failed:
    return "checkpoint_failed";
  case ledger_kind::phase_started:
    return "phase_started";
  case ledger_kind::phase_resumed:
    return "phase_resumed";
  case ledger_kind::phase_finished:
    return "phase_finished";
  case ledger_kind::phase_reopened:
    return "phase_reopened";
  case ledger_kind::forked:
    return "forked";
  case ledger_kind::attempt_finished:
    return "attempt_finished";
  case ledger_kind::stopped:
    return "stopped";
  case ledger_kind::run_finished:
    return "run_finished";
  case ledger_kind::run_failed:
    return "run_failed";
  case ledger_kind::note:
    return "note";
  }
  return nullptr;
}

}  // namespace

const char* to_string(ledger_kind kind) { return name_of(kind); }

std::optional<ledger_kind> ledger_kind_of(std::string_view name) {
  for (uint8_t number = 0; name_of(static_cast<ledger_kind>(number)) != nullptr; ++number) {
    if (name == name_of(static_cast<ledger_kind>(number))) {
      return static_cast<ledger_kind>(number);
    }
  }
  return std::nullopt;
}

}  // namespace troupe::io
