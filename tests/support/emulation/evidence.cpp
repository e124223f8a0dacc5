#include "support/emulation/evidence.hpp"

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <tuple>

namespace troupe::emulation {

namespace {

struct kernel_counter {
  std::atomic<const void*> kernel = nullptr;
  std::atomic<int64_t> launches[3] = {};  ///< by order of threads
};

/// More than there are kernels. Whoever comes first takes a place, and it stays its own.
constinit std::array<kernel_counter, 1024> counters;

kernel_counter& counter_of(const void* kernel) {
  const size_t first = reinterpret_cast<uintptr_t>(kernel) / 16;  // functions begin at multiples of 16
  for (size_t i = 0; i < counters.size(); ++i) {
    kernel_counter& one = counters[(first + i) % counters.size()];
    const void* there = one.kernel.load();
    if (there == nullptr && one.kernel.compare_exchange_strong(there, kernel)) {
      return one;
    }
    if (there == kernel) {
      return one;
    }
  }
  throw std::length_error("more kernels than can be counted");
}

int64_t launches_of(const kernel_counter& one, thread_order order) { return one.launches[static_cast<size_t>(order)]; }

/// All that is noted but launches. It is written when the program ends.
class evidence {
public:
  evidence() {
    if (const char* const folder = std::getenv("TROUPE_EVIDENCE")) {
      std::filesystem::create_directories(folder);
      file_ = std::filesystem::path(folder) / (std::string(program_invocation_short_name) + ".json");
      std::filesystem::remove(file_);  // of an earlier run: whoever does not come to its end leaves none
    }
  }
  evidence(const evidence&) = delete;
  evidence& operator=(const evidence&) = delete;
  ~evidence() {
    if (!file_.empty() && ::getpid() == process_) {
      std::ofstream(file_) << written().dump(1) << '\n';
    }
  }

  void add(const oracle_error& one) {
    const std::lock_guard lock(mutex_);
    worst& w = errors_[{one.operation, one.type, one.measure, one.limit}];
    w.error = one.error <= w.error ? w.error : one.error;  // NaN stays
    w.values += one.values;
  }
  void add_tokens(int64_t compared, int64_t different) {
    const std::lock_guard lock(mutex_);
    compared_ += compared;
    different_ += different;
  }
  void add_bug(const std::string& name) {
    const std::lock_guard lock(mutex_);
    bugs_.insert(name);
  }

private:
  /// Kernels have no names here. They are told by how far they stand from a function whose place in the program's file
  /// is known, since the program lies elsewhere each time.
  nlohmann::json written() const {
    nlohmann::json kernels = nlohmann::json::array(), errors = nlohmann::json::array();
    const auto here = reinterpret_cast<intptr_t>(&note_launch);
    for (const kernel_counter& one : counters) {
      if (one.kernel != nullptr) {
        kernels.push_back({{"from_note_launch", reinterpret_cast<intptr_t>(one.kernel.load()) - here},
                           {"launches",
                            {{"rising", launches_of(one, thread_order::rising)},
                             {"falling", launches_of(one, thread_order::falling)},
                             {"shuffled", launches_of(one, thread_order::shuffled)}}}});
      }
    }
    for (const auto& [what, w] : errors_) {
      const auto& [operation, type, measure, limit] = what;
      errors.push_back({{"operation", operation},
                        {"type", type},
                        {"measure", measure},
                        {"limit", limit},
                        {"worst", w.error},
                        {"values", w.values}});
    }
    return {{"kernels", kernels},
            {"errors", errors},
            {"tokens", {{"compared", compared_}, {"different", different_}}},
            {"bugs_found", bugs_},
            {"cpu_seconds", static_cast<double>(std::clock()) / CLOCKS_PER_SEC}};
  }

  struct worst {
    double error = 0;
    int64_t values = 0;
  };

  std::filesystem::path file_;
  pid_t process_ = ::getpid();  // one that this one forks leaves nothing
  std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, std::string, double>, worst> errors_;
  int64_t compared_ = 0, different_ = 0;
  std::set<std::string> bugs_;
};

evidence all;

}  // namespace

void note_launch(const void* kernel, thread_order order) {
  counter_of(kernel).launches[static_cast<size_t>(order)].fetch_add(1, std::memory_order_relaxed);
}

void note_error(const oracle_error& one) { all.add(one); }

void note_tokens(int64_t compared, int64_t different) { all.add_tokens(compared, different); }

void note_found_bug(const std::string& name) { all.add_bug(name); }

}  // namespace troupe::emulation
