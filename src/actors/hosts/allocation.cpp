#include "actors/hosts/allocation.hpp"

#include "base/error.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

extern char** environ;  // NOLINT(readability-identifier-naming): POSIX's own

namespace troupe::actors {

namespace {

constexpr size_t most_entries = 65'536;
constexpr int64_t most_count = 1'000'000;
constexpr size_t most_digits = 9;
constexpr size_t longest_name = 255;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A cursor over one list. Every error names the list and the position.
class list_reader {
public:
  explicit list_reader(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  void expect(char wanted) {
    if (peek() != wanted || at_end()) {
      fail(fmt::format("'{}' is missing", wanted));
    }
    ++at_;
  }
  bool take(char wanted) {
    const bool there = !at_end() && text_[at_] == wanted;
    at_ += there ? 1 : 0;
    return there;
  }
  /// Letters of a name up to a bracket or comma.
  std::string_view plain() {
    const size_t end = std::min(text_.find_first_of("[],", at_), text_.size());
    const std::string_view part = text_.substr(at_, end - at_);
    for (const char c : part) {
      if (c <= ' ' || c > '~') {
        fail("a name has letters that no host name has");
      }
    }
    at_ = end;
    return part;
  }
  std::string_view digits() {
    size_t end = at_;
    while (end < text_.size() && is_digit(text_[end])) {
      ++end;
    }
    if (end == at_ || end - at_ > most_digits) {
      fail(end == at_ ? "a number is missing" : "a number has more than 9 digits");
    }
    const std::string_view part = text_.substr(at_, end - at_);
    at_ = end;
    return part;
  }
  [[noreturn]] void fail(const std::string& why) const {
    constexpr size_t shown = 100;
    throw error(errc::bad_argument, "Slurm list \"{}{}\", position {}: {}", text_.substr(0, shown),
                text_.size() > shown ? "..." : "", at_ + 1, why);
  }
  void check_size(size_t entries) const {
    if (entries > most_entries) {
      fail(fmt::format("more than {} entries", most_entries));
    }
  }

private:
  std::string_view text_;
  size_t at_ = 0;
};

int64_t number(std::string_view digits) {
  int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

/// What stands in brackets: "1-3,007". The opening one is taken already.
std::vector<std::string> read_bracket(list_reader& in) {
  std::vector<std::string> numbers;
  do {
    const std::string_view first = in.digits();
    const int64_t low = number(first);
    const int64_t high = in.take('-') ? number(in.digits()) : low;
    if (high < low) {
      in.fail(fmt::format("the range {}-{} falls", low, high));
    }
    in.check_size(numbers.size() + static_cast<size_t>(high - low) + 1);
    for (int64_t n = low; n <= high; ++n) {
      numbers.push_back(fmt::format("{:0{}}", n, first.size()));
    }
  } while (in.take(','));
  in.expect(']');
  return numbers;
}

/// Every beginning with every ending.
std::vector<std::string> product(const list_reader& in, const std::vector<std::string>& beginnings,
                                 const std::vector<std::string>& endings) {
  in.check_size(beginnings.size() * endings.size());
  std::vector<std::string> all;
  all.reserve(beginnings.size() * endings.size());
  for (const std::string& beginning : beginnings) {
    for (const std::string& ending : endings) {
      all.push_back(beginning + ending);
    }
  }
  return all;
}

void check_length(const list_reader& in, const std::string& name) {
  if (name.empty() || name.size() > longest_name) {
    in.fail(name.empty() ? "a name is empty" : "a name has more than 255 letters");
  }
}

std::vector<std::string> read_name(list_reader& in) {
  std::vector<std::string> names = {std::string(in.plain())};
  while (in.take('[')) {
    names = product(in, names, read_bracket(in));
    const std::string tail(in.plain());
    for (std::string& name : names) {
      name += tail;
    }
    check_length(in, names.front());  // on the way: many long names must not fill the memory
  }
  check_length(in, names.front());
  return names;
}

const std::string* find(const environment& variables, const char* name) {
  const auto found = variables.find(name);
  return found == variables.end() || found->second.empty() ? nullptr : &found->second;
}

int64_t count_of(const environment& variables, const char* name, int64_t otherwise) {
  const std::string* text = find(variables, name);
  if (text == nullptr) {
    return otherwise;
  }
  int64_t value = 0;
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (failure != std::errc() || end != text->data() + text->size() || value < 0 || value > most_count) {
    throw error(errc::bad_argument, "{} = \"{}\" is not a count", name, *text);
  }
  return value;
}

std::vector<int64_t> cpus_of(const environment& variables, size_t hosts) {
  const std::string* per_node = find(variables, "SLURM_JOB_CPUS_PER_NODE");
  if (per_node == nullptr) {
    return std::vector<int64_t>(hosts, std::max<int64_t>(1, count_of(variables, "SLURM_CPUS_ON_NODE", 1)));
  }
  std::vector<int64_t> cpus = expand_counts(*per_node);
  if (cpus.size() != hosts) {
    throw error(errc::bad_argument, "SLURM_JOB_CPUS_PER_NODE = \"{}\" counts {} nodes, SLURM_JOB_NODELIST names {}",
                *per_node, cpus.size(), hosts);
  }
  return cpus;
}

}  // namespace

environment current_environment() {
  environment variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos && equals > 0) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return variables;
}

std::vector<std::string> expand_hosts(std::string_view list) {
  list_reader in(list);
  std::vector<std::string> hosts;
  do {
    const std::vector<std::string> some = read_name(in);
    in.check_size(hosts.size() + some.size());
    hosts.insert(hosts.end(), some.begin(), some.end());
  } while (in.take(','));
  if (!in.at_end()) {
    in.fail("a bracket closes that was not opened");
  }
  return hosts;
}

std::vector<int64_t> expand_counts(std::string_view list) {
  list_reader in(list);
  std::vector<int64_t> counts;
  do {
    const int64_t value = number(in.digits());
    int64_t times = 1;
    if (in.take('(')) {
      in.expect('x');
      times = number(in.digits());
      in.expect(')');
    }
    if (value < 1 || value > most_count || times < 1 || times > most_count) {
      in.fail("counts go from 1 to 1,000,000");
    }
    in.check_size(counts.size() + static_cast<size_t>(times));
    counts.insert(counts.end(), static_cast<size_t>(times), value);
  } while (in.take(','));
  if (!in.at_end()) {
    in.fail("a comma is missing");
  }
  return counts;
}

int64_t sum_of_cards(std::string_view list) {
  list_reader in(list);
  int64_t sum = 0;
  do {
    const std::string_view kind = in.plain();
    const size_t colon = kind.rfind(':');
    const std::string_view count = colon == std::string_view::npos ? kind : kind.substr(colon + 1);
    const bool counted =
        !count.empty() && count.size() <= most_digits && std::all_of(count.begin(), count.end(), is_digit);
    if (kind.empty() || (colon != std::string_view::npos && !counted)) {
      in.fail("a number of cards is missing");
    }
    sum += counted ? number(count) : 1;
    if (sum > most_count) {
      in.fail("counts go up to 1,000,000");
    }
  } while (in.take(','));
  if (!in.at_end()) {
    in.fail("a comma is missing");
  }
  return sum;
}

std::optional<allocation> read_allocation(const environment& variables) {
  const std::string* id = find(variables, "SLURM_JOB_ID");
  const std::string* nodes = find(variables, "SLURM_JOB_NODELIST");
  if (id == nullptr || nodes == nullptr) {
    return std::nullopt;  // some shells inherit the id of a job that they are not in
  }
  allocation given;
  given.job_id = *id;
  given.hosts = expand_hosts(*nodes);
  if (std::set<std::string>(given.hosts.begin(), given.hosts.end()).size() != given.hosts.size()) {
    throw error(errc::bad_argument, "SLURM_JOB_NODELIST = \"{}\" names a host twice", *nodes);
  }
  given.cpus = cpus_of(variables, given.hosts.size());
  given.cpus_per_task = count_of(variables, "SLURM_CPUS_PER_TASK", 0);
  given.restarts = count_of(variables, "SLURM_RESTART_COUNT", 0);
  if (const std::string* cards = find(variables, "SLURM_GPUS_PER_NODE"); cards != nullptr) {
    given.cards_per_host = sum_of_cards(*cards);
  }
  given.cards_per_rank = find(variables, "SLURM_GPUS_PER_TASK") != nullptr;
  given.has_cards = given.cards_per_host > 0 || given.cards_per_rank ||
                    find(variables, "SLURM_GPUS_ON_NODE") != nullptr || find(variables, "SLURM_JOB_GPUS") != nullptr;
  const std::string* here = find(variables, "SLURMD_NODENAME");
  if (here != nullptr && std::find(given.hosts.begin(), given.hosts.end(), *here) != given.hosts.end()) {
    given.batch_host = *here;
  }
  return given;
}

std::vector<std::string> state_command(const allocation& given) {
  return {"sh", "-c", "timeout 5 squeue --noheader --states all --jobs \"$1\" --format %T 2>&1 || :", "sh",
          given.job_id};
}

bool is_over(std::string_view said) {
  // squeue knows a job that is over for some minutes (MinJobAge), and then no more.
  constexpr auto ended =
      std::to_array<std::string_view>({"Invalid job id", "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED",
                                       "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"});
  return std::any_of(ended.begin(), ended.end(),
                     [&](std::string_view word) { return said.find(word) != std::string_view::npos; });
}

std::vector<std::string> hosts_command(const allocation& given) {
  return {"timeout", "5", "squeue", "--noheader", "--jobs", given.job_id, "--format", "%N"};
}

std::vector<std::string> config_command(std::chrono::seconds patience) {
  return {"timeout", std::to_string(patience.count()), "scontrol", "show", "config"};
}

std::vector<std::string> requeue_command(const allocation& given) { return {"scontrol", "requeue", given.job_id}; }

}  // namespace troupe::actors
