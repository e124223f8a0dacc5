#include "actors/director/replies.hpp"

#include <algorithm>

namespace troupe::actors {

train_reply joined(const std::vector<train_reply>& by_rank) {
  train_reply all = by_rank.front();
  all.tokens = 0;
  for (const train_reply& rank : by_rank) {
    all.tokens += rank.tokens;
    all.seconds = std::max(all.seconds, rank.seconds);
  }
  return all;
}

step_reply joined(const std::vector<step_reply>& by_rank) {
  step_reply all = by_rank.front();
  all.sent_bytes = 0;
  all.communication_s = all.communication_wait_s = 0;
  for (const step_reply& rank : by_rank) {
    all.seconds = std::max(all.seconds, rank.seconds);
    all.sent_bytes += rank.sent_bytes;
    all.communication_s += rank.communication_s;
    all.communication_wait_s += rank.communication_wait_s;
  }
  return all;
}

void merge(statistics& to, const statistics& from) {
  for (const auto& [name, value] : from) {
    to[name] = value;
  }
}

statistics with_prefix(const std::string& prefix, const statistics& values) {
  statistics out;
  for (const auto& [name, value] : values) {
    out[prefix + name] = value;
  }
  return out;
}

void add_communication(statistics& to, const std::string& model, const step_reply& stepped) {
  if (stepped.sent_bytes == 0) {
    return;  // one rank alone
  }
  to["rate/" + model + "_communicated_bytes"] = static_cast<double>(stepped.sent_bytes);
  to["time/" + model + "_communication_s"] = stepped.communication_s;
  to["time/" + model + "_communication_wait_s"] = stepped.communication_wait_s;
}

double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0.0; }

void iteration_statistics::add(const statistics& of_update) {
  for (const auto& [name, value] : of_update) {
    entry& of = entries_[name];
    of.sum += value;
    of.largest = of.updates == 0 ? value : std::max(of.largest, value);
    ++of.updates;
  }
}

statistics iteration_statistics::combined() const {
  statistics out;
  for (const auto& [name, of] : entries_) {
    out[name] = name.starts_with("time/") ? of.sum
                : name.ends_with("_max")  ? of.largest
                                          : of.sum / static_cast<double>(of.updates);
  }
  return out;
}

}  // namespace troupe::actors
