#!/usr/bin/env python3
"""jobs/recipes/plot.py draws what metrics.jsonl says, with nothing but Python's own library, and draws a real run.

    plot_test.py TROUPE
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SVG = "{http://www.w3.org/2000/svg}"


def plot(*arguments):
    """-I and -S: neither installed packages nor what lies in the current folder can be imported."""
    return subprocess.run([sys.executable, "-I", "-S", "-B", ROOT / "jobs/recipes/plot.py", *map(str, arguments)],
                          capture_output=True, text=True)


class Plot(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.picture = self.folder / "picture.svg"

    def run_with(self, name, lines):
        (self.folder / name).mkdir()
        (self.folder / name / "metrics.jsonl").write_text(lines)
        return self.folder / name

    def drawn(self, *arguments):
        done = plot(self.picture, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return ElementTree.parse(self.picture).getroot()

    def curves(self, picture):
        """Of each coloured line the points, as [(x, y)]."""
        paths = [path.get("d") for path in picture.iter(SVG + "path") if path.get("stroke") != "#888"]
        return [[tuple(map(float, step[1:].split(","))) for step in path.split()] for path in paths]

    def texts(self, picture):
        return [text.text for text in picture.iter(SVG + "text")]

    def test_a_point_for_each_record_of_the_phase(self):
        run = self.run_with("one", "".join(
            f'{{"phase":"{phase}","update":{at},"policy/loss":{value}}}\n'
            for phase, at, value in [("sft", 0, 4.0), ("sft", 10, 3.0), ("sft", 30, 1.0), ("ppo", 5, 9.0)]))
        [curve] = self.curves(self.drawn(run, "--curve", "sft:policy/loss"))
        (x0, y0), (x1, y1), (x2, y2) = curve
        self.assertAlmostEqual((x2 - x0) / (x1 - x0), 3, places=1)
        self.assertAlmostEqual((y2 - y0) / (y1 - y0), 3, places=1)
        self.assertGreater(y2, y0, "a smaller loss stands lower")

    def test_each_run_has_its_line_and_name(self):
        runs = [self.run_with(name, '{"phase":"ppo","update":0,"iteration":1,"reward/raw_mean":1}\n'
                                    '{"phase":"ppo","update":0,"iteration":2,"reward/raw_mean":2}\n')
                for name in ("kl-0", "kl<0.1>")]
        picture = self.drawn(*runs, "--curve", "ppo:reward/raw_mean")
        self.assertEqual(len(self.curves(picture)), 2)
        self.assertIn("kl-0", self.texts(picture))
        self.assertIn("kl<0.1>", self.texts(picture))

    def test_what_was_not_finite_is_a_gap_and_half_a_line_nothing(self):
        run = self.run_with("one", "".join(f'{{"phase":"sft","update":{at},"policy/loss":{value}}}\n'
                                           for at, value in [(0, 1), (1, 2), (2, "null"), (3, 2), (4, 1)])
                            + '{"phase":"sft","update":5,"poli')
        d = next(path.get("d") for path in self.drawn(run, "--curve", "sft:policy/loss").iter(SVG + "path")
                 if path.get("stroke") != "#888")
        self.assertEqual([step[0] for step in d.split()], ["M", "L", "M", "L"])

    def test_constant_and_missing_numbers_can_be_drawn(self):
        run = self.run_with("one", '{"phase":"sft","update":1,"policy/loss":0}\n{"phase":"sft","update":1,"x/y":-3}\n')
        picture = self.drawn(run, "--curve", "sft:policy/loss", "--curve", "sft:x/y", "--curve", "ppo:x/y",
                             "--columns", "2")
        self.assertIn("no records", self.texts(picture))
        self.assertEqual(len(list(picture.iter(SVG + "circle"))), 2)
        self.assertEqual((picture.get("width"), picture.get("height")), ("640", "480"))

    def test_what_cannot_be_drawn_is_told(self):
        run = self.run_with("one", "")
        for arguments, words in [((self.folder / "p.png", run), "ends in .svg"),
                                 ((self.picture, self.folder), "is this the folder of a run?"),
                                 ((self.picture, run, "--curve", "policy/loss"), "which phase")]:
            done = plot(*arguments)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    def test_a_real_run(self):
        done = subprocess.run([TROUPE, "run", ROOT / "tests/data/jobs/tiny.ini", "--run.dir", self.folder / "run"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        picture = self.drawn(self.folder / "run")
        self.assertEqual(len(self.curves(picture)), 4, "each of the usual curves")
        self.assertNotIn("no records", self.texts(picture))


if __name__ == "__main__":
    TROUPE = sys.argv.pop(1)
    unittest.main()
