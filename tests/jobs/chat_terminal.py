#!/usr/bin/env python3
"""`troupe chat` at a terminal, as its user types: editing, history, letters beyond ASCII, Ctrl-C and Ctrl-D.

    chat_terminal.py TROUPE MODEL_DIR
"""
import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

UP, LEFT, HOME, BACKSPACE = "\x1b[A", "\x1b[D", "\x01", "\x7f"
CTRL_C, CTRL_D = "\x03", "\x04"
PATIENCE_S = 120


class Terminal:
    """A chat on the other side of a terminal of 40 columns."""

    def __init__(self, *options):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C", "HOME": "/nonexistent"}
            os.execve(TROUPE, [TROUPE, "chat", MODEL, "--temperature", "0", *options], environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def read(self):
        """What comes next, or nothing at the end."""
        assert select.select([self.fd], [], [], PATIENCE_S)[0], f"nothing more came after {self.seen[-400:]!r}"
        try:
            more = os.read(self.fd, 65536).decode(errors="replace")
        except OSError:  # the other side has ended
            more = ""
        self.seen += more
        return more

    def wait_for(self, text, count=1):
        """Until `text` has been seen so many times since the last wait; returns all that came."""
        while self.seen.count(text) < count:
            assert self.read(), f"it ended; {text!r} was expected in {self.seen!r}"
        came, self.seen = self.seen, ""
        return came

    def prompt(self):
        """Until it asks for a line: the last thing on the screen is the prompt."""
        while not self.seen.endswith("\n> "):
            assert self.read(), f"it ended instead of asking: {self.seen!r}"
        came, self.seen = self.seen, ""
        return came

    def say(self, keys):
        self.type(keys + "\n")
        return self.prompt()

    def end(self):
        """Reads to the end, which is a good one."""
        while self.read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        assert status == 0, f"{os.waitstatus_to_exitcode(status)} after {self.seen[-400:]!r}"


def messages_of(file):
    return json.loads(pathlib.Path(file).read_text())["messages"]


def said(file):
    return [turn["content"] for turn in messages_of(file) if turn["role"] == "user"]


def lines_are_edited_and_remembered(folder):
    chat = Terminal("--max-new-tokens", "4")
    chat.prompt()
    chat.say("Helo" + LEFT + "l")
    chat.say("gr\u00fc\u00dfe" + BACKSPACE * 2 + "\u00dfe \u65e5\u672cX" + BACKSPACE)
    chat.say(UP + UP)
    chat.say("the end of a line that is much longer than this terminal is wide" + HOME + "At ")
    assert "saved" in chat.say(f"/save {folder}/edited.json")
    chat.type(CTRL_D)
    chat.end()
    want = ["Hello", "gr\u00fc\u00dfe \u65e5\u672c", "Hello",
            "At the end of a line that is much longer than this terminal is wide"]
    assert said(f"{folder}/edited.json") == want, said(f"{folder}/edited.json")


def what_it_says_is_what_a_pipe_gets():
    piped = subprocess.run([TROUPE, "chat", MODEL, "--temperature", "0", "--max-new-tokens", "20"], input="Hello\n",
                           capture_output=True, text=True, check=True).stdout
    chat = Terminal("--max-new-tokens", "20")
    chat.prompt()
    shown = chat.say("Hello").replace("\r", "")
    assert piped.strip() in shown, (piped, shown)
    chat.type("/quit\n")
    chat.end()


def ctrl_c_ends_the_answer_alone(folder):
    chat = Terminal("--max-new-tokens", "400", "--threads", "1")
    chat.prompt()
    whole = chat.say("Once upon a time")
    for attempt in range(50):  # an answer may be complete before the key arrives
        chat.type("/retry\n")
        if chat.wait_for("\n").endswith("\n"):
            chat.read()  # the answer has begun
        os.kill(chat.pid, signal.SIGSTOP)
        chat.type(CTRL_C)
        time.sleep(0.01)
        os.kill(chat.pid, signal.SIGCONT)
        if "(interrupted" in chat.prompt():
            break
    else:
        raise AssertionError("50 answers were not interrupted")
    chat.say(f"/save {folder}/cut.json")
    answer = messages_of(f"{folder}/cut.json")[-1]
    assert answer["role"] == "assistant" and len(answer["content"]) < len(whole) - 20, answer
    chat.say("Hello")  # and goes on
    chat.type("/quit\n")
    chat.end()


def ctrl_c_at_the_prompt_clears_the_line_and_twice_leaves(folder):
    chat = Terminal("--max-new-tokens", "4")
    chat.prompt()
    chat.type("never said" + CTRL_C)
    assert "^C" in chat.prompt()
    chat.say("Hello")
    chat.say(f"/save {folder}/cleared.json")
    assert said(f"{folder}/cleared.json") == ["Hello"], said(f"{folder}/cleared.json")
    chat.type(CTRL_C)
    assert "once more" in chat.prompt()
    chat.say("Hello")  # so the next is the first again
    chat.type(CTRL_C)
    assert "once more" in chat.prompt()
    chat.type(CTRL_C)
    chat.end()


def the_terminal_is_left_as_it_was():
    """By the end, and by a signal that ends the program while a line is edited."""
    for last in ("/quit", signal.SIGTERM):
        chat = Terminal("--max-new-tokens", "4")
        before = termios.tcgetattr(chat.fd)
        chat.prompt()
        if last == "/quit":
            chat.type("/quit\n")
        else:
            os.kill(chat.pid, last)
        deadline = time.monotonic() + PATIENCE_S
        while os.waitpid(chat.pid, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline, f"it did not end on {last}"
            time.sleep(0.01)
        assert termios.tcgetattr(chat.fd) == before, f"after {last} the terminal is another"
        os.close(chat.fd)


def main():
    with tempfile.TemporaryDirectory() as folder:
        lines_are_edited_and_remembered(folder)
        what_it_says_is_what_a_pipe_gets()
        ctrl_c_ends_the_answer_alone(folder)
        ctrl_c_at_the_prompt_clears_the_line_and_twice_leaves(folder)
        the_terminal_is_left_as_it_was()
    print("chat at a terminal: as it should be")


TROUPE, MODEL = sys.argv[1:]
if __name__ == "__main__":
    main()
