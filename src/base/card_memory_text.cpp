#include "base/card_memory_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

static std::string mib(int64_t bytes) { return fmt::format("{} MiB", (bytes + (1 << 20) - 1) >> 20); }

std::string no_card_memory_text(const std::string& card, int64_t bytes, const std::string& holder,
                                const memory_use& held, int64_t total) {
  std::string text =
      fmt::format("{}: {} for {} are not there. Of {} the program holds", card, mib(bytes), holder, mib(total));
  for (const memory_use::holder& one : held.holders) {
    text += fmt::format(" {} for {},", mib(one.bytes), one.name);
  }
  if (held.holders.empty()) {
    text += " nothing,";
  }
  text += fmt::format(" and others (the driver and other processes) {}", mib(held.others));
  if (held.left_to_driver > 0) {
    text += fmt::format("; {} are left free for what the driver takes later, such as the code of kernels",
                        mib(held.left_to_driver));
  }
  return text + fmt::format(". A job takes less with {}; `troupe plan JOB.ini --device-gib {}` names those by which it "
                            "would fit",
                            options_for_less_card_memory,
                            std::max<int64_t>(1, (total - held.others - held.left_to_driver) >> 30));
}

}  // namespace troupe
