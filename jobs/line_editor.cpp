#include "jobs/line_editor.hpp"

#include "base/error.hpp"

#include <histedit.h>
#include <unistd.h>

#include <climits>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace troupe {

namespace {

constexpr int lines_remembered = 1000;

struct editor_closer {
  void operator()(EditLine* editor) const { el_end(editor); }
};
struct history_closer {
  void operator()(History* history) const { history_end(history); }
};

}  // namespace

struct line_editor::state {
  std::string prompt;
  bool cancelled = false;
  std::unique_ptr<History, history_closer> history;
  std::unique_ptr<EditLine, editor_closer> editor;

  static state& of(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<state*>(data);
  }

  static char* prompt_of(EditLine* editor) { return of(editor).prompt.data(); }

  // While a line is edited Ctrl-C and Ctrl-Z are keys and no signals (isig is off).

  /// Ends the line, which stays to be seen as it was.
  static unsigned char cancel(EditLine* editor, int) {
    of(editor).cancelled = true;
    el_cursor(editor, INT_MAX);
    el_set(editor, EL_REFRESH);
    return CC_NEWLINE;
  }

  static unsigned char suspend(EditLine*, int) {
    ::raise(SIGTSTP);
    return CC_NORM;
  }

  void bind_keys() {
    el_set(editor.get(), EL_EDITOR, "emacs");
    el_set(editor.get(), EL_ADDFN, "troupe-cancel", "Gives up the line", cancel);
    el_set(editor.get(), EL_ADDFN, "troupe-suspend", "Stops the program", suspend);
    el_set(editor.get(), EL_SETTY, "-d", "-isig", nullptr);
    el_set(editor.get(), EL_BIND, "^C", "troupe-cancel", nullptr);
    el_set(editor.get(), EL_BIND, "^Z", "troupe-suspend", nullptr);
    el_set(editor.get(), EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_set(editor.get(), EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
    el_set(editor.get(), EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
    el_source(editor.get(), nullptr);
  }
};

bool line_editor::possible() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1; }

line_editor::line_editor(std::string prompt) : state_(std::make_unique<state>()) {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) {
    std::setlocale(LC_CTYPE, "C.UTF-8");
  }
  state_->prompt = std::move(prompt);
  state_->history.reset(history_init());
  state_->editor.reset(el_init("troupe", stdin, stderr, stderr));
  if (!state_->history || !state_->editor) {
    throw error(errc::io_failure, "this terminal cannot be used for editing lines: give them by a pipe");
  }
  HistEvent event{};
  history(state_->history.get(), &event, H_SETSIZE, lines_remembered);
  history(state_->history.get(), &event, H_SETUNIQUE, 1);
  EditLine* editor = state_->editor.get();
  el_set(editor, EL_CLIENTDATA, state_.get());
  el_set(editor, EL_PROMPT, state::prompt_of);
  el_set(editor, EL_SIGNAL, 1);  // the terminal is put right when a signal ends or stops the program
  el_set(editor, EL_HIST, history, state_->history.get());
  state_->bind_keys();
}

line_editor::~line_editor() = default;

typed line_editor::read(std::string& line) {
  state_->cancelled = false;
  el_set(state_->editor.get(), EL_PREP_TERM, 1);  // before the prompt: whoever sees that may press Ctrl-C at once
  int length = 0;
  const char* text = el_gets(state_->editor.get(), &length);
  line.assign(text == nullptr ? "" : text);
  if (state_->cancelled) {
    std::fputs("^C\n", stderr);
    return typed::cancelled;
  }
  if (text == nullptr || length <= 0) {
    std::fputc('\n', stderr);
    return typed::end;
  }
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) {
    line.pop_back();
  }
  if (line.find_first_not_of(' ') != std::string::npos) {
    HistEvent event{};
    history(state_->history.get(), &event, H_ENTER, line.c_str());
  }
  return typed::line;
}

}  // namespace troupe
