// troupe_gpu_check [--emulated MODULE] [--out FOLDER] [--only STAGE ...] [--seconds LIMIT]: looks at a card, in stages
// of which each has its time. A line for each, and a record (a line of JSON) in FOLDER/gpu.json as soon as it is done.
// Exit status: 0 all was good; 1 not; 2 wrong usage.
#include "base/error.hpp"
#include "engine/cards/card_module.hpp"
#include "engine/cards/local_card.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu/stage.hpp"
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace troupe::gpu_check {

namespace {

using steady = std::chrono::steady_clock;

constexpr stage all_stages[] = {
    {"facts", 60, "what card this is, and what of its memory is free", facts},
    {"ceilings", 60, "copies, the largest product, launches and replays, pages", ceilings},
    {"units", 40, "the matrix unit against its emulation", units},
    {"twins", 70, "each operation against the host's", twins},
    {"invariance", 40, "a row's bits in batches of other sizes", invariance},
    {"attention", 60, "against the host's, and decoded rows against packed ones", attention},
    {"repeats", 30, "the same calls again, and replayed", repeats},
};

struct request {
  std::string emulated;  ///< the module of a card that is emulated; empty: the real one
  std::string out = ".";
  std::vector<std::string> only;
  int seconds = 0;    ///< for each stage; 0: its own limit
  std::string child;  ///< the stage that this process is
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
    } else if (name == "--stage") {
      wanted.child = argv[i];
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

/// The process of a stage.
int be_stage(const request& wanted) {
  const stage& mine = stage_named(wanted.child);
  const auto begun = steady::now();
  outcome found;
  try {
    engine::module_places places = engine::usual_places();
    if (!wanted.emulated.empty()) {
      places = {.driver = "", .modules = {wanted.emulated}};
    }
    const engine::card_module module(places);
    const auto card = module.open(module.cards() > 0 ? engine::local_card(std::getenv, module.cards()) : 0);
    thread_pool pool{static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)))};
    subject of{.card = *card, .on_host = {pool}, .on_card = {pool, card.get()}, .emulated = !wanted.emulated.empty()};
    found = mine.run(of);
  } catch (const std::exception& failure) {
    found = {.good = false, .text = failure.what()};
  }
  const double seconds = std::chrono::duration<double>(steady::now() - begun).count();
  fmt::print("{}\n", lines_of(mine, !wanted.emulated.empty(), found, seconds));
  std::fflush(stdout);
  std::_Exit(0);  // a card that has failed may hang in what its end would do
}

/// What a stage's process has printed when it ended, or when its time was over: then it is killed.
std::string output_of(const std::vector<std::string>& command, int limit_seconds, bool& in_time) {
  int ends[2] = {};
  if (::pipe(ends) != 0) {
    refuse("no pipe can be made");
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    std::vector<char*> words;
    for (const std::string& word : command) {
      words.push_back(const_cast<char*>(word.c_str()));
    }
    words.push_back(nullptr);
    ::execv("/proc/self/exe", words.data());
    std::_Exit(127);
  }
  ::close(ends[1]);
  const auto end = steady::now() + std::chrono::seconds(limit_seconds);
  std::string output;
  in_time = true;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - steady::now()).count();
    pollfd waiting{.fd = ends[0], .events = POLLIN};
    in_time = left > 0;
    if (!in_time || ::poll(&waiting, 1, static_cast<int>(left)) <= 0) {
      in_time = in_time && steady::now() < end;
      if (!in_time) {
        ::kill(child, SIGKILL);
        break;
      }
      continue;
    }
    char piece[4096];
    const ssize_t length = ::read(ends[0], piece, sizeof(piece));
    if (length <= 0) {
      break;
    }
    output.append(piece, static_cast<size_t>(length));
  }
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return output;
}

/// True: it was good.
bool run_stage(const request& wanted, const stage& each, std::FILE* records) {
  std::vector<std::string> command{"troupe_gpu_check", "--stage", each.name};
  if (!wanted.emulated.empty()) {
    command.insert(command.end(), {"--emulated", wanted.emulated});
  }
  bool in_time = true;
  const auto begun = steady::now();
  std::string output = output_of(command, wanted.seconds > 0 ? wanted.seconds : each.seconds, in_time);
  size_t tab = output.rfind('\t');
  if (!in_time || tab == std::string::npos) {
    const double seconds = std::chrono::duration<double>(steady::now() - begun).count();
    const std::string text = in_time ? "its process has ended without a word" : "not done in its time, and killed";
    output = lines_of(each, !wanted.emulated.empty(), {.good = false, .text = text}, seconds) + '\n';
    tab = output.rfind('\t');
  }
  const size_t line = output.rfind('\n', tab);
  const std::string said = output.substr(line == std::string::npos ? 0 : line + 1, tab - (line + 1));
  fmt::print("{}\n", said);
  std::fflush(stdout);
  std::fputs(output.c_str() + tab + 1, records);
  std::fflush(records);
  return said.starts_with("ok");
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
  bool good = true;
  for (const stage& each : stages()) {
    if (wanted.only.empty() || std::find(wanted.only.begin(), wanted.only.end(), each.name) != wanted.only.end()) {
      good = run_stage(wanted, each, records) && good;
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
