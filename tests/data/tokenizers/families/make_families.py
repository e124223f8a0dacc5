"""Writes families.json: tokenizers in the layouts of public model families, and what the reference library makes of texts.

    pip install tokenizers==0.23 && python make_families.py

Each family has its own normalizer, pre-tokenizer, post-processor, decoder and kinds of added tokens, as its published
tokenizer.json has them, over a vocabulary that is trained here on a few lines. `tokenizer` is the file without what is the
same in all; tests/io/tokenizer/families_test.cpp says how it is put together again.
"""
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))

LINES = [
    "Hello world, the quick brown fox isn't lazy and the dog doesn't care; they've seen it before.",
    "In 2024 there were 1234567 people, 3.14 apples and 100% of 50 units at $9.99 each (or so).",
    "def f(x):\n    return x + 1\n\n\tif x == 0:  # comment\n        pass\r\n",
    "Élève naïve, Straße, coöperate; Ελληνικά και русский текст, اللغة العربية، हिन्दी में लेख।",
    "漢字とひらがなとカタカナ、中文文本。한국어 텍스트 ภาษาไทย 😀👍🏽",
    "JSON {\"a\": [1, 2, 3]} <tag>text</tag> http://example.org/a_b?c=d&e=f ... !!! ??? ---",
]
TEXTS = LINES + [
    "", " ", "  ", "\n", " \n \t ", "a", " a", "a ", "  two  spaces  ", "tabs\tand\nlines\n\n\nmore",
    "I'LL say I'm HE'S they'D", "word's 's 'S", "1 12 123 1234 12345", "x=1+2*3/4-5", "mixed漢字and English",
    "CamelCaseWords and ALLCAPS xYz", "<s>hi</s> <pad><unk>", "<|im_start|>user\nHi<|im_end|>\n",
    "<|endoftext|>a <|endoftext|> b", "¡Hola! ¿Qué tal? « bien » – “merci”…", "e\u0301 \u00a0\u2003x\u2028y\u200bz",
    "²³½ ٣٤ Ⅷ ⅳ", "a\u0000b\u001b", "…。，、।۔،", "emoji 👩‍👩‍👧 flags 🇩🇪",
]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?"
          r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?"
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
LATIN_RUNS = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+"

split = lambda rx, behavior="isolated", invert=False: pre_tokenizers.Split(Regex(rx), behavior, invert)
byte_level = lambda prefix=False, regex=True: pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)
sequence = lambda *steps: pre_tokenizers.Sequence(list(steps))
cut = lambda rx: sequence(split(rx), byte_level(False, False))
special = lambda *texts, **flags: [AddedToken(t, special=True, normalized=False, **flags) for t in texts]
END = special("<|endoftext|>")
CHATML = special("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SP = special("<unk>", "<s>", "</s>")


def bytes_bpe(pre, added=END, normalizer=None, post=None, first=True, ignore_merges=False):
    """Byte-level BPE; the special tokens have the first or the last ids."""
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                                  special_tokens=added if first else [])
    t.train_from_iterator(LINES, trainer)
    if not first:
        t.add_tokens(added)
    t.decoder = decoders.ByteLevel()
    if post:
        t.post_processor = post(t)
    return t


def words_bpe(normalizer, pre, decoder, added=SP, post=None, alphabet=True):
    """Characters with bytes to fall back on, as converted from SentencePiece."""
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    fallback = [AddedToken(f"<0x{b:02X}>", normalized=False) for b in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=added + fallback, show_progress=False,
                                  limit_alphabet=90 if alphabet else 1000)
    t.train_from_iterator(LINES, trainer)
    data = json.loads(t.to_str())
    data["added_tokens"] = [a for a in data["added_tokens"] if not a["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(data))
    t.decoder = decoder
    if post:
        t.post_processor = post(t)
    return t


def bos(token):
    return lambda t: processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B",
                                                   special_tokens=[(token, t.token_to_id(token))])


def roberta(t):
    return processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")), True, False)


S = "▁"
prepend = normalizers.Sequence([normalizers.Prepend(S), normalizers.Replace(" ", S)])
spaces = normalizers.Replace(" ", S)
strip_decoder = decoders.Sequence([decoders.Replace(S, " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
plain_decoder = decoders.Sequence([decoders.Replace(S, " "), decoders.ByteFallback(), decoders.Fuse()])
metaspace = lambda scheme, cuts: pre_tokenizers.Metaspace(replacement=S, prepend_scheme=scheme, split=cuts)
runs_of_spaces = [AddedToken(" " * n, normalized=True, special=False) for n in range(24, 1, -1)]
digits = lambda single: pre_tokenizers.Digits(individual_digits=single)

FAMILIES = {
    "gpt2": lambda: bytes_bpe(byte_level(), first=False),
    "roberta": lambda: bytes_bpe(byte_level(), special("<s>", "<pad>", "</s>", "<unk>") + special("<mask>", lstrip=True),
                                 post=roberta),
    "bloom": lambda: bytes_bpe(cut(BLOOM), special("<unk>", "<s>", "</s>", "<pad>")),
    "opt": lambda: bytes_bpe(byte_level(), special("<s>", "<pad>", "</s>", "<unk>"), post=bos("</s>")),
    "gpt-neox": lambda: bytes_bpe(byte_level(), special("<|endoftext|>", "<|padding|>") + runs_of_spaces,
                                  normalizers.NFC()),
    "pythia": lambda: bytes_bpe(byte_level(), END, normalizers.NFC()),
    "llama-1": lambda: words_bpe(prepend, None, strip_decoder, post=bos("<s>")),
    "llama-2": lambda: words_bpe(prepend, None, strip_decoder, SP + special("[INST]", "[/INST]", rstrip=True), bos("<s>")),
    "llama-3": lambda: bytes_bpe(cut(CL100K), special("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"), first=False,
                                 ignore_merges=True,
                                 post=lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=True),
                                                                     bos("<|begin_of_text|>")(t)])),
    "mistral-v1": lambda: words_bpe(prepend, None, strip_decoder, post=bos("<s>")),
    "mistral-v3": lambda: words_bpe(None, metaspace("first", False), strip_decoder, SP + special("[INST]", "[/INST]"),
                                    bos("<s>")),
    "mistral-tekken": lambda: bytes_bpe(cut(TEKKEN), special("<unk>", "<s>", "</s>", "[INST]"), ignore_merges=True,
                                        post=bos("<s>")),
    "mixtral": lambda: words_bpe(prepend, None, strip_decoder, SP + [AddedToken("<sep>", normalized=True)], bos("<s>")),
    "qwen1.5": lambda: bytes_bpe(cut(QWEN), CHATML, normalizers.NFC(), first=False),
    "qwen2.5": lambda: bytes_bpe(cut(QWEN), CHATML + [AddedToken("<tool_call>", normalized=False)], normalizers.NFC(),
                                 first=False),
    "qwen3": lambda: bytes_bpe(cut(QWEN), CHATML + [AddedToken("<think>", normalized=False)], normalizers.NFC(),
                               first=False),
    "phi-2": lambda: bytes_bpe(byte_level(), END + [AddedToken(" " * n, normalized=True) for n in range(9, 1, -1)],
                               first=False),
    "phi-3": lambda: words_bpe(prepend, None, strip_decoder, SP + special("<|user|>", "<|end|>", rstrip=True)),
    "phi-4": lambda: bytes_bpe(cut(CL100K), special("<|endoftext|>", "<|im_start|>", "<|im_sep|>", lstrip=True, rstrip=True),
                               first=False),
    "gemma": lambda: words_bpe(spaces, pre_tokenizers.Split(" ", "merged_with_previous"), plain_decoder,
                               special("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>")
                               + [AddedToken("\n" * n, normalized=False) for n in (2, 3)], bos("<bos>")),
    "gemma-3": lambda: words_bpe(spaces, pre_tokenizers.Split(" ", "merged_with_previous"), plain_decoder,
                                 special("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>")
                                 + [AddedToken(S * n, normalized=False) for n in (2, 3, 4)], bos("<bos>"), False),
    "falcon": lambda: bytes_bpe(sequence(pre_tokenizers.Punctuation("contiguous"), byte_level(), digits(False),
                                         split("[0-9][0-9][0-9]")), special(">>TITLE<<", "<|endoftext|>")),
    "mpt": lambda: bytes_bpe(byte_level(), special("<|endoftext|>", "<|padding|>") + runs_of_spaces, normalizers.NFC()),
    "starcoder2": lambda: bytes_bpe(sequence(digits(True), byte_level()), special("<|endoftext|>", "<fim_prefix>")),
    "smollm": lambda: bytes_bpe(sequence(digits(True), byte_level()), CHATML),
    "smollm3": lambda: bytes_bpe(cut(CL100K), CHATML, first=False, ignore_merges=True),
    "olmo": lambda: bytes_bpe(byte_level(), special("<|endoftext|>", "<|padding|>"), normalizers.NFC(), first=False),
    "olmo-2": lambda: bytes_bpe(cut(CL100K), CHATML, first=False),
    "deepseek-llm": lambda: bytes_bpe(sequence(split("[\r\n]"), split(LATIN_RUNS), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
                                               split(r"\s+$"), split("[一-龥ࠀ-一가-퟿]+"), digits(True),
                                               byte_level(False, False)), special("<｜begin▁of▁sentence｜>")),
    "deepseek-coder": lambda: bytes_bpe(sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                                                 split("[一-龥ࠀ-一가-퟿]+"), digits(True), byte_level(False, False)),
                                        special("<｜begin▁of▁sentence｜>"), post=bos("<｜begin▁of▁sentence｜>")),
    "deepseek-v3": lambda: bytes_bpe(sequence(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK3),
                                              byte_level(False, False)), special("<｜begin▁of▁sentence｜>")),
    "yi": lambda: words_bpe(prepend, None, plain_decoder, SP + special("<|im_start|>", "<|im_end|>")),
    "internlm2": lambda: words_bpe(prepend, None, strip_decoder, SP + special("<|im_start|>", "<|im_end|>"), bos("<s>")),
    "command-r": lambda: bytes_bpe(sequence(digits(True), byte_level()), special("<BOS_TOKEN>", "<EOS_TOKEN>"),
                                   normalizers.NFC(), bos("<BOS_TOKEN>")),
    "granite": lambda: bytes_bpe(sequence(digits(True), byte_level()), special("<|end_of_text|>", "<fim_prefix>")),
    "stablelm-2": lambda: bytes_bpe(cut(CL100K), CHATML, first=False),
    "stablelm-3b": lambda: bytes_bpe(byte_level(), special("<|endoftext|>", "<|padding|>"), normalizers.NFC()),
    "chatglm4": lambda: bytes_bpe(cut(CL100K), special("[gMASK]", "<sop>", "<|user|>"), first=False,
                                  post=lambda t: processors.TemplateProcessing(
                                      single="[gMASK] <sop> $A",
                                      special_tokens=[(x, t.token_to_id(x)) for x in ("[gMASK]", "<sop>")])),
    "gpt-oss": lambda: bytes_bpe(cut(O200K), special("<|startoftext|>", "<|endoftext|>"), first=False),
    "kimi": lambda: bytes_bpe(cut(KIMI), special("[BOS]", "[EOS]"), first=False),
    "minicpm": lambda: words_bpe(None, metaspace("always", True), decoders.Metaspace(replacement=S, prepend_scheme="always"),
                                 post=bos("<s>")),
    "viking": lambda: bytes_bpe(sequence(split(BLOOM), digits(True), byte_level(False, False)), special("<s>", "</s>")),
    "words": lambda: bytes_bpe(sequence(pre_tokenizers.Whitespace(), byte_level(False, False)), END),
    "spaces": lambda: bytes_bpe(sequence(pre_tokenizers.WhitespaceSplit(), byte_level(False, False)), END),
}


def compact(t):
    data = json.loads(t.to_str())
    data["model"] = {k: data["model"][k] for k in ("unk_token", "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges")}
    return {k: v for k, v in data.items() if k not in ("version", "truncation", "padding")}


def main():
    out = {}
    for name, make in FAMILIES.items():
        t = make()
        cases = []
        for text in TEXTS:
            ids = t.encode(text, add_special_tokens=False).ids
            cases.append([ids, t.encode(text).ids[:2], t.decode(ids, skip_special_tokens=False)])
        out[name] = {"tokenizer": compact(t), "cases": cases}
    with open(os.path.join(HERE, "families.json"), "w", encoding="utf-8") as f:
        f.write('{"texts": ' + json.dumps(TEXTS, ensure_ascii=False) + ',\n"families": {\n')
        f.write(",\n".join(json.dumps(k) + ": " + json.dumps(v, separators=(",", ":"), ensure_ascii=False) for k, v in out.items()))
        f.write("\n}}\n")


main()
