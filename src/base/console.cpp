#include "base/console.hpp"

#include "base/error.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace troupe {

namespace {

constexpr int usual_columns = 80;
constexpr std::string_view clear_line = "\r\033[K";

void write_all(int to, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(to, text.data(), text.size());
    if (done > 0) {
      text.remove_prefix(static_cast<size_t>(done));
    } else if (done == 0 || errno != EINTR) {
      return;
    }
  }
}

int columns_of(int terminal) {
  winsize size{};
  return ::ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : usual_columns;
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

bool is_terminal(int descriptor) {
  const char* kind = std::getenv("TERM");
  return ::isatty(descriptor) == 1 && (kind == nullptr || std::strcmp(kind, "dumb") != 0);
}

bool wants_colour(int descriptor) { return is_terminal(descriptor) && !is_set("NO_COLOR"); }

std::string cut_to_width(std::string_view text, int columns) {
  size_t end = 0;
  for (int taken = 0; end < text.size() && taken < columns; ++taken) {
    do {
      ++end;
    } while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U);  // inside a character
  }
  return std::string(text.substr(0, end));
}

console::~console() {
  if (!progress_.empty()) {
    write_all(how_.descriptor, "\n");
  }
}

void console::keep_log(const std::string& file, std::string_view head) {
  const std::lock_guard lock(mutex_);
  log_ = descriptor(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!log_.valid()) {
    throw error(errc::io_failure, "{}: cannot be opened: {}", file, std::strerror(errno));
  }
  write_all(log_.get(), std::string(head) + "\n");
}

void console::say(weight matters, std::string_view text, std::string_view logged) {
  const std::lock_guard lock(mutex_);
  if (log_.valid()) {
    write_all(log_.get(), std::string(logged.empty() ? text : logged) + "\n");
  }
  if (how_.quiet && matters == weight::detail) {
    return;
  }
  std::string whole;
  if (!progress_.empty()) {
    whole = clear_line;
  }
  whole.append(text).append("\n");
  write_all(how_.descriptor, whole);
  draw_progress();
}

void console::note(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (log_.valid()) {
    write_all(log_.get(), std::string(text) + "\n");
  }
}

void console::show(std::string progress) {
  const std::lock_guard lock(mutex_);
  if (!how_.terminal || how_.quiet) {
    return;
  }
  if (progress.empty() && !progress_.empty()) {
    write_all(how_.descriptor, clear_line);
  }
  progress_ = std::move(progress);
  draw_progress();
}

void console::draw_progress() {
  if (!progress_.empty()) {
    // One column stays free: a terminal that is filled to its last one goes on to the next line.
    write_all(how_.descriptor, std::string(clear_line) + cut_to_width(progress_, columns_of(how_.descriptor) - 1));
  }
}

}  // namespace troupe
