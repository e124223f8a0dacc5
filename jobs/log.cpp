#include "jobs/log.hpp"

#include "base/printable.hpp"
#include "jobs/commands.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>

namespace troupe {

namespace {

/// A line's text, made printable.
class printable_text final : public spdlog::custom_flag_formatter {
public:
  void format(const spdlog::details::log_msg& line, const std::tm&, spdlog::memory_buf_t& to) override {
    const std::string text = printable(std::string_view(line.payload.data(), line.payload.size()));
    to.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<printable_text>(); }
};

const char* colour_of(spdlog::level::level_enum level) {
  return level >= spdlog::level::err ? "\033[31m" : level == spdlog::level::warn ? "\033[33m" : "\033[32m";
}

class console_sink final : public spdlog::sinks::base_sink<std::mutex> {
public:
  explicit console_sink(bool coloured) : coloured_(coloured) {}

protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    spdlog::memory_buf_t buffer;
    formatter_->format(line, buffer);
    std::string plain(buffer.data(), buffer.size());
    while (plain.ends_with('\n')) {
      plain.pop_back();
    }
    const weight matters = line.level >= spdlog::level::warn ? weight::trouble : weight::detail;
    process_console()->say(matters, coloured_ ? with_colour(line, plain) : plain, plain);
  }
  void flush_() override {}

private:
  static std::string with_colour(const spdlog::details::log_msg& line, std::string text) {
    if (line.color_range_end > line.color_range_start && line.color_range_end <= text.size()) {
      text.insert(line.color_range_end, "\033[m");
      text.insert(line.color_range_start, colour_of(line.level));
    }
    return text;
  }

  bool coloured_;
};

std::atomic<const char*> program_name{"troupe"};

[[noreturn]] void end_by_exception() {
  std::array<char, 512> text{};
  const char* name = program_name.load();
  const auto tell = [&](const char* why) { std::snprintf(text.data(), text.size(), "%s: %s\n", name, why); };
  try {
    if (const std::exception_ptr failure = std::current_exception()) {
      std::rethrow_exception(failure);
    }
    tell("it cannot go on: memory or a thread could not be had");
  } catch (const std::bad_alloc&) {
    tell("out of memory");
  } catch (const std::exception& failure) {
    tell(failure.what());
  } catch (...) {
    tell("an exception of no known type");
  }
  // Nothing here may need memory.
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), std::string_view(text.data()).size());
  std::_Exit(exit_failed);
}

}  // namespace

const console_ptr& process_console() {
  static const console_ptr of_process =
      std::make_shared<console>(console::settings{.descriptor = STDERR_FILENO, .terminal = is_terminal(STDERR_FILENO)});
  return of_process;
}

void set_up_log() {
  auto sink = std::make_shared<console_sink>(wants_colour(STDERR_FILENO));
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("troupe", std::move(sink)));
  auto lines = std::make_unique<spdlog::pattern_formatter>();
  lines->add_flag<printable_text>('*').set_pattern("%H:%M:%S %^%l%$ %*");
  spdlog::set_formatter(std::move(lines));
}

void tell_last_exception(const char* name) {
  program_name.store(name);
  std::set_terminate(end_by_exception);
}

}  // namespace troupe
