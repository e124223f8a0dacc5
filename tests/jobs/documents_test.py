#!/usr/bin/env python3
"""What README.md and docs/ say of the program's commands and options holds, and the examples of docs/commands.md give
what they show.

    documents_test.py TROUPE
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_LISTED = {"worker", "guard", "hello"}  # the program starts the first two itself; the last is an example

MADE_ELSEWHERE = {"a-day.md", "mistakes.md"}  # tests type what they show, mistakes among it

# Examples of docs/commands.md that need what is not here: a run that failed on two nodes, a site's own files.
NOT_RUN = ("troupe submit job.ini", "troupe status runs/job", "troupe convert runs/job", "troupe fork runs/demo")

OPTION = re.compile(r"--[a-z][\w.-]*")
CODE = re.compile(r"`([^`\n]+)`")


def troupe(*arguments):
    done = subprocess.run([TROUPE, *arguments], capture_output=True, text=True)
    return done.stdout + done.stderr


def commands():
    """Those that `troupe --help` lists."""
    return set(re.findall(r"^  (\w+) +", troupe("--help"), re.MULTILINE))


def options_of(command):
    return set(OPTION.findall(troupe(command, "--help"))) | {"--help"}


def job_keys():
    """Sections and keys of docs/job-file.md, as `section.key`; a section of any name has * for it."""
    keys, section = set(), ""
    for line in (ROOT / "docs/job-file.md").read_text().splitlines():
        if line.startswith("## ["):
            section = line[4:-1]
        elif found := re.match(r"\| `([\w-]+)`", line):
            keys.add(f"{section}.{found[1]}")
    return keys


def pieces_of_code(text):
    """Fenced lines, with those that end in a backslash joined, and code within the text."""
    fenced, joined = False, ""
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            joined += line.rstrip("\\")
            if not line.endswith("\\"):
                yield joined
                joined = ""
        else:
            yield from CODE.findall(line)


def calls_in(piece):
    """(command, options) of each call of troupe in a line of shell."""
    for call in re.split(r"[|;&]+|\$\(|#", piece):
        words = call.split()
        while words and (words[0] in ("$", "srun", "mpirun") or "=" in words[0] or words[0].isdigit()
                         or words[0].startswith("-")):
            words.pop(0)
        if len(words) > 1 and words[0].split("/")[-1] == "troupe" and re.fullmatch(r"[a-z]+", words[1]):
            yield words[1], [found[0] for word in words[2:] if (found := OPTION.match(word))]


class Documents(unittest.TestCase):
    def test_the_table_of_commands_is_the_programs(self):
        table = (ROOT / "README.md").read_text().split("## Commands")[1].split("\n## ")[0]
        named = {word for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
                 for word in re.findall(r"`(?:troupe )?(\w+)", row)}
        self.assertEqual(named, commands())

    def test_each_command_has_its_section(self):
        heads = re.findall(r"^##+ (?:troupe )?(\w+)", (ROOT / "docs/commands.md").read_text(), re.MULTILINE)
        self.assertEqual(commands() - set(heads), set())

    def test_every_call_in_the_documents_can_be_made(self):
        known = commands()
        options = {command: options_of(command) for command in known}
        keys = job_keys()
        calls = 0
        for document in DOCUMENTS:
            if document.name in MADE_ELSEWHERE:
                continue
            for piece in pieces_of_code(document.read_text()):
                for command, given in calls_in(piece):
                    where = f"{document.relative_to(ROOT)}: {piece}"
                    self.assertIn(command, known | NOT_LISTED, where)
                    calls += 1
                    if command in NOT_LISTED:
                        continue
                    for option in given:
                        key = option[2:]
                        section, _, name = key.rpartition(".")
                        family = section.split(".")[0]
                        self.assertTrue(option in options[command] or key in keys or key == "section.key"
                                        or f"{family}.NAME.{name}" in keys, f"{where}: {option}")
        self.assertGreater(calls, 40)

    def test_every_target_of_make_is_there(self):
        makefile = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^([\w-]+(?: [\w-]+)*):", makefile, re.MULTILINE))
        targets = {target for line in targets for target in line.split()}
        for document in DOCUMENTS:
            for piece in pieces_of_code(document.read_text()):
                if found := re.match(r"(?:\$ )?make ([a-z][\w-]*)", piece):
                    self.assertIn(found[1], targets, f"{document.name}: {piece}")

    def test_chat_has_the_options_that_choose_tokens(self):
        choosing = {"--max-new-tokens", "--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty",
                    "--seed", "--stop", "--threads", "--dtype", "--device"}
        template = {"--chat-template", "--date", "--template-variables"}
        self.assertEqual(options_of("chat"), choosing | template | {"--system", "--help"})
        self.assertLessEqual(choosing | template, options_of("generate"))

    def test_the_number_of_families_is_that_of_their_sources(self):
        row = re.search(r"^\| model families \| (\d+), dense", (ROOT / "README.md").read_text(), re.MULTILINE)
        self.assertEqual(int(row[1]), len(list((ROOT / "src/engine/models/families").glob("*.cpp"))))

    def test_tests_stand_in_the_folders_of_what_they_test(self):
        """And most bear the name of a source, as README says. tests/cuda and tests/engine/card have a card that is
        emulated, for kernels and for the engine; tests/nccl is built with the module for cards."""
        sources = {path.relative_to(ROOT) for top in ("src", "jobs") for path in (ROOT / top).rglob("*.[ch]pp")}
        sources = {path.relative_to("src") if path.parts[0] == "src" else path for path in sources}
        folders = {path.parent for path in sources}
        names = {path.with_suffix("") for path in sources}
        tests = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*_test.cpp")
                 if path.relative_to(ROOT / "tests").parts[0] not in ("runs", "fuzz", "bench", "cuda")]
        tests = [test for test in tests if test.parent not in (pathlib.Path("engine/card"), pathlib.Path("nccl"))]
        for test in tests:
            self.assertIn(test.parent, folders, f"tests/{test}")
        alike = [test for test in tests if test.parent / test.stem.removesuffix("_test") in names]
        self.assertGreater(len(alike), len(tests) / 2)


class Examples(unittest.TestCase):
    """The lines after `$ ` are given to a shell, and what they print is held against the lines below; `...` there
    stands for anything, and a file that an example shows with cat is made first."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        for name in ("tests", "jobs", "docs"):
            (self.folder / name).symlink_to(ROOT / name)
        (self.folder / "bin").mkdir()
        (self.folder / "bin/troupe").symlink_to(TROUPE)

    def steps(self):
        """(command, what it shows) of each example."""
        text = (ROOT / "docs/commands.md").read_text()
        for block in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                lines = step.splitlines()
                command = [lines.pop(0)]
                while command[-1].endswith(("\\", "|")):
                    command.append(lines.pop(0))
                yield "\n".join(command), "\n".join(lines)

    def assert_shows(self, got, expected, command):
        pattern = ".*?".join(re.escape(part) for part in expected.split("..."))
        self.assertTrue(re.fullmatch(pattern, got.rstrip(), re.DOTALL), f"\n$ {command}\n{got}\nis not\n{expected}")

    def test_examples_show_what_comes(self):
        done = 0
        for command, expected in self.steps():
            if command.startswith(NOT_RUN):
                continue
            if found := re.fullmatch(r"cat ([\w.]+)", command):
                (self.folder / found[1]).write_text(expected + "\n")
                continue
            got = subprocess.run(["bash", "-c", command], cwd=self.folder, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT,
                                 env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"})
            self.assert_shows(got.stdout, expected, command)
            done += 1
        self.assertGreater(done, 10)


if __name__ == "__main__":
    TROUPE = sys.argv.pop(1)
    unittest.main()
