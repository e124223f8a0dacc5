#include "jobs/log.hpp"

#include "base/printable.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
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

}  // namespace

void set_up_log() {
  spdlog::set_default_logger(spdlog::stderr_color_mt("troupe"));
  auto lines = std::make_unique<spdlog::pattern_formatter>();
  lines->add_flag<printable_text>('*').set_pattern("%H:%M:%S %^%l%$ %*");
  spdlog::set_formatter(std::move(lines));
}

}  // namespace troupe
