#include "actors/hosts/host_watch.hpp"

#include "base/error.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr auto patience_with_slurm = 5s;
constexpr auto patience_with_hosts = 1200ms;  // a lost first packet is sent again after a second

host_watch::host_watch(std::optional<allocation> given, ask_function ask)
    : given_(std::move(given)), ask_(std::move(ask)) {}

/// What srun needs of a host: that its slurmd answers. Slurm itself may find out only minutes later.
void host_watch::prepare_probe() {
  if (!given_ || given_->hosts.size() < 2) {
    return;
  }
  try {
    if (const auto port = slurmd_port(ask_(config_command(patience_with_slurm)))) {
      std::vector<std::string> hosts = given_->hosts;
      std::erase(hosts, given_->batch_host);
      probe_.emplace(hosts, *port);
      probe_->start();
    }
  } catch (const error& failure) {  // without it a dead host costs a launch that fails
    spdlog::warn("cannot ask Slurm for the port of its daemons: {}", failure.what());
  }
}

void host_watch::look(bool strangers) {
  if (!probe_) {
    prepare_probe();
  }
  if (probe_) {
    if (probe_->age() > 2 * patience_with_hosts) {
      probe_->start();
    }
    probe_->wait(patience_with_hosts);
    silent_ = probe_->silent(strangers);
  }
}

void host_watch::begin_round() {
  if (probe_) {
    probe_->start();
  }
}

bool host_watch::renew_round(std::chrono::milliseconds patience) {
  if (!probe_ || probe_->age() < patience) {
    return false;
  }
  silent_ = probe_->silent();
  probe_->start();
  return true;
}

bool host_watch::has_silent_host(const launch_plan& plan) const {
  return std::any_of(plan.hosts.begin(), plan.hosts.end(),
                     [this](const host_share& one) { return silent_.contains(one.host); });
}

bool host_watch::alone() const {
  return given_ && given_->hosts.size() > 1 &&
         std::all_of(given_->hosts.begin(), given_->hosts.end(),
                     [this](const std::string& host) { return host == given_->batch_host || silent_.contains(host); });
}

std::map<std::string, std::string> host_watch::suspect(const std::set<std::string>& hosts, clock::time_point now) {
  std::map<std::string, std::string> verdicts;
  for (const std::string& host : hosts) {
    if (given_ && host != given_->batch_host) {
      verdicts[host] = records_.suspect(host, now);
    }
  }
  return verdicts;
}

void host_watch::look_for_lost_hosts() {
  if (!given_) {
    return;
  }
  try {
    std::string list = ask_(hosts_command(*given_));
    list.erase(list.find_last_not_of(" \n") + 1);
    const std::vector<std::string> left = expand_hosts(list);
    for (const std::string& host : given_->hosts) {
      if (!left.empty() && std::find(left.begin(), left.end(), host) == left.end()) {
        lost_.insert(host);
      }
    }
  } catch (const error& failure) {  // slurmctld may be away: the next attempt will tell
    spdlog::warn("cannot ask Slurm which hosts are left: {}", failure.what());
  }
}

std::set<std::string> host_watch::excluded(clock::time_point now) const {
  std::set<std::string> hosts = records_.excluded(now);
  hosts.insert(lost_.begin(), lost_.end());
  hosts.insert(silent_.begin(), silent_.end());
  return hosts;
}

std::vector<std::string> host_watch::fit_others(clock::time_point now) const {
  if (!probe_) {
    return {};
  }
  std::vector<std::string> hosts = given_->hosts;
  std::erase_if(hosts, [this, unfit = excluded(now)](const std::string& host) {
    return host == given_->batch_host || unfit.contains(host);
  });
  return hosts;
}

}  // namespace troupe::actors
