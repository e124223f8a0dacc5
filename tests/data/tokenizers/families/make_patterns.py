"""Writes patterns.json: expressions of Oniguruma, and the pieces into which the reference library cuts texts with them.

    pip install tokenizers==0.23 && python make_patterns.py
"""
import json
import os

from tokenizers import Regex, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))

PATTERNS = [
    r"\p{N}{1,3}+", r"\p{N}++", r"a{2}?", r"a{2,3}?", r"(?:a{1,2})*+b", r"a{,2}", r"a**", r"a?+b", r"a{", r"{a}",
    r"a(?i)b|c", r"(?i:'s|'t|'re)", r"(?i:k)", r"(?-i:a)", r"(?m).", r".", r"(?mi:a.b)", r"(?>a|ab)c",
    r"^a", r"a$", r"^", r"$", r"\Aa", r"a\z", r"a\Z", r"\bfoo\b", r"\Bo", r"\b", r"(?=o)", r"(?<=a|bc)x", r"(?<!a)x",
    r"\h+", r"\H+", r"[\h]+", r"\w+", r"\W+", r"[\w]+", r"[^\w]+", r"\d+", r"\D+", r"\s+", r"\S+", r"\R", r"\N+", r"\O+",
    r"\v", r"\x{41}", r"\u0041", r"\x41", r"\q".replace("q", "-"), r"\é",
    r"[[:alpha:]]+", r"[[:alnum:]]+", r"[[:punct:]]+", r"[[:^alpha:]]+", r"[[:word:]]+", r"[[:space:]]+", r"[[:upper:]]+",
    r"[[:xdigit:]]+", r"[[:graph:]]+", r"[[:print:]]+", r"[[:cntrl:]]+", r"[[:blank:]]+",
    r"\p{Han}+", r"\p{^L}+", r"\P{L}+", r"\p{Letter}+", r"\p{uppercase_letter}+", r"\p{Punct}+", r"\p{Hiragana}+",
    r"\p{LC}+", r"\p{Any}", r"\p{ASCII}+", r"\p{Emoji}+",
    r"[\p{L}&&[^a]]+", r"[a-z&&[^aeiou]]+", r"[a[bc]&&[cd]]+", r"[^a&&b]+", r"[^a-z&&aeiou]+", r"[a-z&&[a-m]&&[f-z]]+",
    r"[[^a]b]+", r"[^[^a]b]+", r"[^\S\n]+", r"[\S\n]+", r"[^\W\d]+", r"[a-c-e]+", r"[]a]+", r"[\d\-x]+", r"[\p{L}-]+",
    r"[+--]+", r"[\b]", r"[\x00-\x7f]+", r"[\x{4e00}-\x{9fa5}]+", r"[^(\s|[.,!?…。，、।۔،])]+",
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
    r"x*", r"x*|b", r"(?:a|b)*?c", r"(a)(?<name>b)",
]
TEXTS = [
    "aaaa aabb abc ABC aBc c\nab\n", "1234567 12\u0664\u00b2\u00bd x", "foo foos boo axbcx xx", "a_1\u00e9 \u00c9t\u00e9 \u2167",
    "漢字々あアa一 한", "tab\t\u0085\u00a0\u2028\u180e\u200b\r\n end ", "it's 'S 'T K\u212as\u017f a-1+,-.$<^`|~!，",
    "😀a\u0301 e\u0345\u0000\u001b\u0008 A-z{a}", "…。，、।۔، Ünïcode، x।y", "",
]


def main():
    cases = []
    for pattern in PATTERNS:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        cases.append([pattern, [[piece for piece, _ in split.pre_tokenize_str(text)] for text in TEXTS]])
    with open(os.path.join(HERE, "patterns.json"), "w", encoding="utf-8") as f:
        f.write('{"texts": ' + json.dumps(TEXTS, ensure_ascii=False) + ',\n"patterns": [\n')
        f.write(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
        f.write("\n]}\n")


main()
