"""Compares random small templates between Jinja2 and Troupe's interpreter.

  differential.py RENDER_LINES [--templates N] [--seed S]

Both must write the same text, or both must refuse. What Troupe's interpreter leaves out on purpose is not generated:
see src/io/jinja/template.hpp.
"""
import argparse
import json
import random
import subprocess
import sys

import reference

DATE = "2024-11-28"
VARIABLES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " Hé <b>you</b> & I\n\nagain "},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "f",
        "arguments": {"x": 1, "y": [2.5, None]}}]},
        {"role": "tool", "content": "a,b,,c"},
    ],
    "n": 7,
    "f": 2.5,
    "s": "Some text, with it's \"quotes\" and tabs\tin_it",
    "empty": "",
    "yes": True,
    "nothing": None,
    "d": {"b": 1, "A": "two", "items": [3], "ü": {"k": []}},
    "list": [3, 1, 2, 2],
    "names": ["b", "A", "a", "ö"],
}
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">", "<=", ">="]
LOOP = ["index", "index0", "first", "last", "length", "revindex", "previtem", "nextitem"]
NAMES = ["messages", "n", "f", "s", "empty", "yes", "nothing", "d", "list", "names", "missing", "m", "x", "loop"]
FILTERS = [
    "trim", "upper", "lower", "title", "capitalize", "length", "list", "string", "tojson", "first", "last", "reverse",
    "join", "join(', ')", "default('z')", "default('z', true)", "int", "float", "abs", "sort", "unique",
    "items", "sum",
    "dictsort", "replace('e', 'E')", "replace('e', '', 1)", "tojson(indent=2)", "map('upper')",
    "map(attribute='role')",
    "selectattr('content')", "selectattr('role', 'equalto', 'user')", "rejectattr('content', 'none')",
    "select('string')",
    "reject('none')", "indent(3)", "indent(2, true)", "indent(1, false, true)", "round(1)", "max", "min", "batch(2)",
    "center(30)", "wordcount", "safe", "escape", "count", "map('int', 5)", "sort(reverse=true)", "map('length')",
    "format(1, 'a')", "tojson(sort_keys=true, separators=(',', ':'))", "unique(case_sensitive=true)",
]
TESTS = [
    "defined", "undefined", "none", "string", "number", "mapping", "sequence", "iterable", "true", "false", "boolean",
    "integer", "float", "odd", "even", "divisibleby 3", "divisibleby(2)", "eq 7", "ne(n)", "in [1, 7]", "sameas none",
    "lower", "upper", "callable", "gt 3", "not string", "not none",
]
METHODS = [
    ".strip()", ".split()", ".split(',')", ".split(' ', 1)", ".rsplit(',', 1)", ".upper()", ".lower()", ".title()",
    ".startswith('Some')", ".endswith(('it', 'x'))", ".replace('t', 'T')", ".lstrip(' S')", ".rstrip()",
    ".splitlines()",
    ".items()", ".keys()", ".values()", ".get('A')", ".get('zz', 1)", ".content", ".role", "['b']", "[0]",
    "[-1]", "[1:]",
    "[:-1]", "[::-1]", "[1:5:2]", "[-3:]", "[9]", ".find('t')", ".count('t')", ".index(2)", ".tool_calls",
    ".partition(',')",
    ".capitalize()", ".isdigit()", ".removeprefix('Some')", ".center(9)", ".zfill(4)", ".join(names)", ".swapcase()",
]


# What Python says of its own objects when they are printed: no template means to write it.
PYTHONS_OWN = ["<generator object", "dict_items(", "dict_keys(", "dict_values(", "range(", "RANGE(", "Range(",
               "<LoopContext", "<LOOPCONTEXT", "<Loopcontext", " at 0x", " AT 0X", "<Macro", "<built-in", "iterator"]


# Jinja2's generators look at what they go through only when somebody asks them for an item; its loops can be gone
# through themselves.
GENERATORS = ["| map", "| select", "| reject", "| unique", "| items", "| batch"]


class Writer:
    """Random templates; the depth bounds what is nested."""

    def __init__(self, rng):
        self.rng = rng

    def literal(self):
        return self.rng.choice(
            ["0", "1", "-3", "2.5", "1e3", "10", "'a'", "'it''s'", '"q\\n\\t"', "'\\u00e9'", "true", "false",
            "none", "''",
             "[]", "{}", "()", "(1, 'b')", "[1, [2, none]]", "{'k': 1, 'l': 'v'}", "1.0", "1e16", "0.00001",
             "'%s-%r'",
             "'%d|%5.2f'", "(n,)"]
        )

    def expression(self, depth):
        r = self.rng
        if depth <= 0:
            return r.choice([self.literal(), r.choice(NAMES), r.choice(NAMES)])
        inner = lambda: self.expression(depth - 1)
        return r.choice(
            [
                lambda: f"{inner()} {r.choice(OPERATORS)} {inner()}",
                lambda: f"{inner()} {r.choice(['and', 'or', 'in', 'not in'])} {inner()}",
                lambda: f"({inner()})",
                lambda: f"not {inner()}",
                lambda: f"{inner()} if {inner()} else {inner()}",
                lambda: f"({inner()}){r.choice(METHODS)}",
                lambda: f"{r.choice(NAMES)}{r.choice(METHODS)}",
                lambda: f"{inner()} | {r.choice(FILTERS)}",
                lambda: f"{r.choice(NAMES)} | {r.choice(FILTERS)} | {r.choice(FILTERS)}",
                lambda: f"{inner()} is {r.choice(TESTS)}",
                lambda: f"[{inner()}, {inner()}]",
                lambda: f"{{'a': {inner()}, {inner()}: 1}}",
                lambda: f"range({r.randrange(5)})",
                lambda: f"loop.{r.choice(LOOP)}",
                lambda: f"loop.{r.choice(['cycle(1, 2)', 'changed(n)', 'changed(x)', 'depth'])}",
                lambda: f"-{inner()}",
                self.literal,
            ]
        )()

    def tag(self, inside):
        return self.rng.choice(["{%", "{%", "{%-", "{%+"]) + f" {inside} " + self.rng.choice(["%}", "%}",
        "-%}", "+%}"])

    def text(self):
        return self.rng.choice(["", " ", "\n", "  \n  ", "a", "b\n", "\n\n c", "\t", "{ }", " d  ", "é\r\n"])

    def output(self, depth):
        return self.rng.choice(["{{", "{{-"]) + f" {self.expression(depth)} " + self.rng.choice(["}}", "-}}"])

    def statement(self, depth):
        r = self.rng
        body = lambda: self.block(depth - 1)
        expression = lambda: self.expression(2)
        name = lambda: r.choice(["x", "m", "n"])
        return r.choice(
            [
                lambda: self.output(2),
                lambda: self.output(3),
                lambda: self.tag(f"if {expression()}") + body() + self.tag("endif"),
                lambda: self.tag(f"if {expression()}") + body() + self.tag(f"elif {expression()}") + body()
                + self.tag("else") + body() + self.tag("endif"),
                lambda: self.tag("for m in " + r.choice(["messages", "list", "names", "d", "s[:5]", expression()]))
                + body()
                + r.choice(["", self.tag("if loop.index == 2") + self.tag(r.choice(["break",
                "continue"])) + self.tag("endif")])
                + self.text() + self.tag("endfor"),
                lambda: self.tag("for m in messages if m.content") + body() + self.tag("else") + body()
                    + self.tag("endfor"),
                lambda: self.tag("for k, x in d.items()") + body() + self.tag("endfor"),
                lambda: self.tag(f"set {name()} = {expression()}"),
                lambda: self.tag(f"set {name()}") + body() + self.tag("endset"),
                lambda: self.tag("set q = namespace(v=1)") + self.tag("for m in list") + self.tag("set q.v = q.v + m")
                + self.tag("endfor") + "{{ q.v }}",
                lambda: self.tag(f"macro f(x, y={expression()})") + body() + self.tag("endmacro")
                    + f"{{{{ f({expression()}) }}}}",
                lambda: self.tag("macro g(x)") + "{{ x }}{{ caller(1) }}" + self.tag("endmacro")
                + self.tag(f"call(z) g({expression()})") + "{{ z }}" + body() + self.tag("endcall"),
                lambda: self.tag(f"filter {r.choice(['upper', 'trim', 'title', 'replace(1, 2)'])}") + body()
                    + self.tag("endfilter"),
                lambda: self.tag(f"with x = {expression()}") + body() + self.tag("endwith"),
                lambda: self.tag("generation") + body() + self.tag("endgeneration"),
                lambda: r.choice(["{#", "{#-"]) + " note " + r.choice(["#}", "-#}"]),
                lambda: "{% raw %}" + r.choice(["{{ x }}", "\n a"]) + self.tag("endraw").replace("endraw  ",
                "endraw "),
            ]
        )()

    def block(self, depth):
        if depth <= 0:
            return self.text() + self.output(1) + self.text()
        return "".join(self.text() + self.statement(depth) for _ in range(self.rng.randint(1, 3))) + self.text()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--templates", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    writer = Writer(random.Random(chosen.seed))
    sources = [writer.block(writer.rng.randint(1, 3)) for _ in range(chosen.templates)]
    lines = "".join(json.dumps({"template": s, "variables": VARIABLES, "date": DATE}) + "\n" for s in sources)
    answers = subprocess.run([chosen.program], input=lines, capture_output=True, text=True, check=True).stdout
    answers = [json.loads(line) for line in answers.split("\n")[:-1]]
    assert len(answers) == len(sources), f"{len(answers)} answers to {len(sources)} templates"
    different = rendered = 0
    for source, answer in zip(sources, answers):
        expected = reference.render(source, VARIABLES, DATE)
        rendered += "text" in expected
        if answer.get("text") == expected.get("text") or any(p in expected.get("text", "") for p in PYTHONS_OWN):
            continue
        late = any(e in answer.get("error", "") for e in ["is not iterable", "Can only get item pairs"])
        if late and (any(f in source for f in GENERATORS) or "LoopContext" in answer["error"]):
            continue
        different += 1
        if different <= 10:
            print(f"template  {source!r}\n  Jinja2  {expected!r}\n  Troupe  {answer!r}", file=sys.stderr)
    print(f"{len(sources)} templates, {rendered} of them rendered by Jinja2, {different} different")
    assert rendered > len(sources) // 5, "too few templates are sound for this to say anything"
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
