// troupe_gpu_check [--emulated MODULE] [--out FOLDER] [--only STAGE ...] [--seconds LIMIT]: looks at a card, in stages
// of which each has its time. A line for each, and a record (a line of JSON) in FOLDER/gpu.json as soon as it is done.
// Exit status: 0 all was good; 1 not; 2 wrong usage.
#include "base/error.hpp"
#include "engine/cards/card_module.hpp"
#include "engine/cards/local_card.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "gpu/process.hpp"
#include "gpu/stage.hpp"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>
#include <string_view>

namespace troupe::gpu_check {

namespace {

using steady = std::chrono::steady_clock;

constexpr stage all_stages[] = {
    {"facts", 20, "what card this is, and what of its memory is free", facts},
    {"ceilings", 30, "copies, the largest product, launches and replays, pages", ceilings},
    {"units", 20, "the matrix unit against its emulation", units},
    {"twins", 50, "each operation against the host's", twins},
    {"invariance", 20, "a row's bits in batches of other sizes", invariance},
    {"attention", 20, "against the host's, and decoded rows against packed ones", attention},
    {"repeats", 20, "the same calls again, and replayed", repeats},
    {"models", 45, "whole models of every family against the host's", models},
    {"exactness", 60, "log-probs of a large model's drawn tokens against scored ones", exactness},
    {"sanitizer", 70, "memory and races, as compute-sanitizer sees them", sanitizer},
    {"speeds", 30, "single operations and a checkpoint's copy, and the share of what the card does at most", speeds},
    {"decode", 85, "tokens a second, and the share of what memory gives", decode},
    {"training", 40, "forward and backward, and the share of the largest product", training},
    {"wires", 20, "what moves bytes between cards, with one rank", wires},
    {"ppo", 55, "one iteration of PPO, and the seconds of its parts", ppo},
};

/// What a card is lent for at a time leaves some for the start.
constexpr int most_seconds = 585;
static_assert(std::accumulate(std::begin(all_stages), std::end(all_stages), 0,
                              [](int sum, const stage& each) { return sum + each.seconds; }) <= most_seconds);
/// An emulated card may be one of many things that a machine does.
constexpr int patience_with_emulation = 6;

struct request {
  std::string emulated;  ///< the module of a card that is emulated; empty: the real one
  std::string out = ".";
  std::vector<std::string> only;
  std::optional<int> seconds;  ///< for each stage; none: its own limit
  std::string child;           ///< the stage that this process is
  bool under_tool = false;     ///< which sees an ordinary end
};

[[noreturn]] void refuse(const std::string& text) {
  std::fprintf(stderr, "troupe_gpu_check: %s\n", text.c_str());
  std::exit(2);
}

request read(int argc, char** argv) {
  request wanted;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help") {
      fmt::print("troupe_gpu_check [--emulated MODULE] [--out FOLDER] [--only STAGE ...] [--seconds LIMIT]\n");
      for (const stage& each : stages()) {
        fmt::print("  {:<11}{} ({} s at most)\n", each.name, each.what, each.seconds);
      }
      std::exit(0);
    }
    if (++i == argc) {
      refuse(fmt::format("{} has no value", name));
    }
    if (name == "--emulated") {
      wanted.emulated = argv[i];
    } else if (name == "--out") {
      wanted.out = argv[i];
    } else if (name == "--only") {
      wanted.only.emplace_back(argv[i]);
    } else if (name == "--seconds") {
      wanted.seconds = std::atoi(argv[i]);
    } else if (name == "--stage" || name == "--under-tool") {
      wanted.child = argv[i];
      wanted.under_tool = name == "--under-tool";
    } else {
      refuse(fmt::format("there is no option {}", name));
    }
  }
  return wanted;
}

const stage& stage_named(const std::string& name) {
  const auto all = stages();
  const auto found = std::find_if(all.begin(), all.end(), [&](const stage& each) { return name == each.name; });
  if (found == all.end()) {
    refuse(fmt::format("there is no stage {}: --help names them", name));
  }
  return *found;
}

std::string in_quotes(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
    }
    quoted += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return quoted + '"';
}

/// The last line of a stage's process: what the first prints, and a tab, and what goes into the file.
std::string lines_of(const stage& of, bool emulated, const outcome& found, double seconds) {
  std::string record = fmt::format("{{\"stage\": {}, \"good\": {}, \"emulated\": {}, \"seconds\": {:.3f}, \"text\": {}",
                                   in_quotes(of.name), found.good, emulated, seconds, in_quotes(found.text));
  for (const figure& one : found.figures) {
    record += fmt::format(", {}: {:.9g}", in_quotes(one.name), one.value);
  }
  return fmt::format("{:<4} {:<10} {:6.1f} s  {}\t{}}}", found.good ? "ok" : "BAD", of.name, seconds, found.text,
                     record);
}

int limit_of(const request& wanted, const stage& of) {
  return wanted.seconds.value_or(of.seconds * (wanted.emulated.empty() ? 1 : patience_with_emulation));
}

std::unique_ptr<device> open_card(const request& wanted, int seconds) {
  engine::module_places places = engine::usual_places();
  if (!wanted.emulated.empty()) {
    places = {.driver = "", .modules = {wanted.emulated}};
  }
  const engine::card_module module(places);
  auto card = module.open(module.cards() > 0 ? engine::local_card(std::getenv, module.cards()) : 0);
  card->set_patience(std::chrono::seconds(std::max(5, seconds / 2)));  // so that a stage can tell what hangs
  return card;
}

/// The process of a stage.
int be_stage(const request& wanted) {
  const stage& mine = stage_named(wanted.child);
  const auto begun = steady::now();
  outcome found;
  thread_pool pool{static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)))};
  std::unique_ptr<device> card;
  try {
    card = open_card(wanted, limit_of(wanted, mine));
    subject of{.card = *card,
               .on_host = {pool},
               .on_card = {pool, card.get()},
               .emulated = !wanted.emulated.empty(),
               .out = wanted.out,
               .module = wanted.emulated,
               .seconds = limit_of(wanted, mine),
               .begun = begun};
    found = mine.run(of);
  } catch (const std::exception& failure) {
    found = {.good = false, .text = failure.what()};
  }
  const double seconds = std::chrono::duration<double>(steady::now() - begun).count();
  fmt::print("{}\n", lines_of(mine, !wanted.emulated.empty(), found, seconds));
  std::fflush(stdout);
  if (!wanted.under_tool) {
    std::_Exit(0);  // a card that has failed may hang in what its end would do
  }
  return found.good ? 0 : 1;
}

enum class verdict { good, bad, late };

verdict run_stage(const request& wanted, const stage& each, std::FILE* records) {
  const int limit = limit_of(wanted, each);
  std::vector<std::string> command{this_program(),       "--stage", each.name, "--out", wanted.out, "--seconds",
                                   std::to_string(limit)};
  if (!wanted.emulated.empty()) {
    command.insert(command.end(), {"--emulated", wanted.emulated});
  }
  const auto begun = steady::now();
  ended_process ended = run_process(command, limit);
  std::string& output = ended.output;
  size_t tab = output.rfind('\t');
  if (!ended.in_time || tab == std::string::npos) {
    const double seconds = std::chrono::duration<double>(steady::now() - begun).count();
    const std::string text = ended.in_time ? "its process has ended without a word" : why_late(ended);
    output = lines_of(each, !wanted.emulated.empty(), {.good = false, .text = text}, seconds) + '\n';
    tab = output.rfind('\t');
  }
  const size_t line = output.rfind('\n', tab);
  const size_t begin = line == std::string::npos ? 0 : line + 1;
  const std::string said = output.substr(begin, tab - begin);
  fmt::print("{}\n", said);
  std::fflush(stdout);
  std::fputs(output.c_str() + tab + 1, records);
  std::fflush(records);
  return !ended.in_time ? verdict::late : said.starts_with("ok") ? verdict::good : verdict::bad;
}

/// A driver may put a card to rest when the last process that uses it ends, and bring it up again for the next: with
/// this one beside it no stage has to wait for that. They are closed when it ends.
void keep_cards_awake() {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", none)) {
    int number = 0;
    char more = 0;
    if (std::sscanf(entry.path().filename().c_str(), "nvidia%d%c", &number, &more) == 1) {
      static_cast<void>(::open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
    }
  }
}

int run(const request& wanted) {
  for (const std::string& name : wanted.only) {
    stage_named(name);
  }
  const std::string file = wanted.out + "/gpu.json";
  std::FILE* const records = std::fopen(file.c_str(), "a");
  if (records == nullptr) {
    refuse(fmt::format("{} cannot be written", file));
  }
  if (wanted.emulated.empty()) {
    keep_cards_awake();
  }
  bool good = true;
  for (const stage& each : stages()) {
    if (!wanted.only.empty() && std::find(wanted.only.begin(), wanted.only.end(), each.name) == wanted.only.end()) {
      continue;
    }
    const verdict found = run_stage(wanted, each, records);
    good = good && found == verdict::good;
    if (each.run == facts && found == verdict::bad) {
      fmt::print("the other stages are left out: what has no card for one has none for any\n");
      break;
    }
  }
  std::fclose(records);
  return good ? 0 : 1;
}

}  // namespace

std::span<const stage> stages() { return all_stages; }

}  // namespace troupe::gpu_check

int main(int argc, char** argv) {
  const troupe::gpu_check::request wanted = troupe::gpu_check::read(argc, argv);
  return wanted.child.empty() ? troupe::gpu_check::run(wanted) : troupe::gpu_check::be_stage(wanted);
}
