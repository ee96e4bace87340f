#!/usr/bin/env python3
"""Makes tests/data/tokenizer: what the Python package `tokenizers` gives for many strings, as goldens of our tokenizer.

    python3 -m venv VENV && VENV/bin/pip install tokenizers==0.23.3 gguf==0.19.0
    VENV/bin/python tools/make_tokenizer_goldens.py --model models/SmolLM2-135M-Instruct.Q4_1.gguf

Vocabulary and merges come from GGUF files, the parts around them (normaliser, pre-tokeniser) are those of the original
tokenizer.json files. Only SmolLM2 has a real vocabulary here; for the other pre-tokenisers a small one is trained and
kept (--train makes them anew). Characters are restricted to Unicode 14, which the C++ side knows: run this with
Python 3.11, whose unicodedata is of that version.
"""
import argparse
import json
import random
import unicodedata
from pathlib import Path

from gguf import GGUFReader, GGUFWriter
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

KINDS = ["smollm", "gpt-2", "llama-bpe", "qwen2", "qwen35", "tekken", "gpt-4o", "seed-coder", "deepseek-v3", "falcon"]
NORMALISED = ("qwen2",)
WHOLE_WORDS = ("llama-bpe", "tekken")  # a word that is a token becomes it regardless of the merges
TYPE_NORMAL, TYPE_CONTROL, TYPE_USER_DEFINED = 1, 3, 4
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")


UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
BY_CASE = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+ENDING|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*ENDING|DIGITS"
           r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PATTERNS = {
    "llama-bpe": WORDS.replace("DIGITS", r"\p{N}{1,3}"),
    "qwen2": WORDS.replace("DIGITS", r"\p{N}"),
    "qwen35": WORDS.replace("DIGITS", r"\p{N}").replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]",
                                                                                       r"[^\s\p{L}\p{M}\p{N}]"),
    "tekken": BY_CASE.replace("DIGITS", r"\p{N}").replace("ENDING", ""),
    "seed-coder": WORDS.replace("DIGITS", r"\p{N}{1}").replace(r"[^\s\p{L}\p{N}]+[\r\n]*", r"[^\s\p{L}\p{N}\r\n]+"),
    "gpt-4o": BY_CASE.replace("DIGITS", r"\p{N}{1,3}").replace("ENDING", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"),
}


# The cuts of DeepSeek V3, one after the other.
DEEPSEEK_V3 = (r"\p{N}{1,3}", r"[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+",
               r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
               r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


# --- the reference tokenizer -----------------------------------------------------------------------------------------

def pre_tokenizer(kind):
    byte_level = pre_tokenizers.ByteLevel
    if kind == "gpt-2":
        return byte_level(add_prefix_space=False, use_regex=True)
    if kind == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                        byte_level(add_prefix_space=False, use_regex=True)])
    if kind == "falcon":
        return pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"),
                                        byte_level(add_prefix_space=False, use_regex=True),
                                        pre_tokenizers.Digits(individual_digits=False),
                                        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated")])
    patterns = DEEPSEEK_V3 if kind == "deepseek-v3" else (PATTERNS[kind],)
    splits = [pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False) for pattern in patterns]
    return pre_tokenizers.Sequence(splits + [byte_level(add_prefix_space=False, use_regex=False)])


class Reference:
    """`plain` knows no control tokens, `special` does."""

    def __init__(self, path):
        fields = GGUFReader(path).fields
        self.kind = fields["tokenizer.ggml.pre"].contents()
        tokens = fields["tokenizer.ggml.tokens"].contents()
        types = fields["tokenizer.ggml.token_type"].contents()
        merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
        vocab = {t: i for i, t in enumerate(tokens)}
        self.control = [t for t, k in zip(tokens, types) if k == TYPE_CONTROL]
        user_defined = [t for t, k in zip(tokens, types) if k == TYPE_USER_DEFINED]
        self.plain, self.special = (self._build(vocab, merges) for _ in range(2))
        for tokenizer in (self.plain, self.special):
            tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in user_defined])
        self.special.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in self.control])
        assert self.special.get_vocab_size() == len(tokens)

    def _build(self, vocab, merges):
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=self.kind in WHOLE_WORDS))
        tokenizer.pre_tokenizer = pre_tokenizer(self.kind)
        if self.kind in NORMALISED:
            tokenizer.normalizer = normalizers.NFC()
        return tokenizer

    def encode(self, text, special=False):
        return (self.special if special else self.plain).encode(text, add_special_tokens=False).ids

    def encode_spans(self, spans):
        """Spans in which control tokens only occur whole; the text between two of them is tokenised as one."""
        ids, text = [], ""
        for part, special in spans:
            pieces = split_at(part, self.control) if special else [part]
            for piece in pieces:
                if special and piece in self.control:
                    ids += self.encode(text) + [self.special.token_to_id(piece)]
                    text = ""
                else:
                    text += piece
        return ids + self.encode(text)


def split_at(text, separators):
    pieces, start, pos = [], 0, 0
    while pos < len(text):
        hits = [s for s in separators if text.startswith(s, pos)]
        if not hits:
            pos += 1
            continue
        longest = max(hits, key=len)
        pieces += [text[start:pos], longest]
        start = pos = pos + len(longest)
    return pieces + [text[start:]]


def fnv1a(ids):
    value = 0xCBF29CE484222325
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    return f"{value:016x}"


# --- small vocabularies ----------------------------------------------------------------------------------------------

SENTENCES = [
    "The quick brown fox jumps over the lazy dog; it didn't stop, and we'll see why they've gone.",
    "In 1969 about 650 million people watched, 3.14159 times 2 is 6.28318, room 101, year 2026.",
    "Die Straße führt über die Brücke zum Bahnhof, wo größere Züge täglich abfahren.",
    "L'été dernier, nous avons mangé des crêpes près de la forêt; c'était délicieux, n'est-ce pas ?",
    "El niño pequeño corrió por el jardín mientras su mamá preparaba el desayuno. ¿Qué pasó?",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Москва и Санкт-Петербург.",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί στην Αθήνα.",
    "הילדים משחקים בגן ליד הבית הגדול", "الأطفال يلعبون في الحديقة بالقرب من البيت الكبير",
    "बच्चे बगीचे में खेल रहे हैं और किताबें पढ़ रहे हैं।", "子供たちは公園で遊んでいます。東京は大きい都市です。",
    "孩子们在公园里玩。北京是一个很大的城市,有很多人。", "아이들이 공원에서 놀고 있습니다. 서울은 큰 도시입니다.",
    "เด็กๆ กำลังเล่นอยู่ในสวน", "Trẻ em đang chơi trong công viên gần nhà.", "Çocuklar parkta oynuyor, güneş ışıl ışıl.",
    "for (int i = 0; i < n; ++i) {\n    sum += values[i] * weights[i];\n    if (sum > limit) return -1;\n}\n",
    "def main(argv):\n\tparser = ArgumentParser()\n\tparser.add_argument('--out', default=None)\n\treturn 0\n",
    "    <div class=\"item\">\r\n        <a href=\"https://example.org/a?b=c&d=e\">link</a>\r\n    </div>\r\n",
    "SELECT name, count(*) FROM users WHERE age >= 18 GROUP BY name ORDER BY 2 DESC;",
    "I'M SURE IT'S THEIRS, WE'LL GO, THEY'RE LATE, HE'D KNOW, YOU'VE SEEN IT, DON'T.",
    "🙂 🎉 👩‍👩‍👧 🇩🇪 ✨ → ≈ ½ ² € £ ¥ … “quoted” ‘single’ — dash",
]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im", "<|eot_id|>"]
USER_DEFINED = {"qwen2": ["<tool_call>", "<tool_call>>", "</tool_call>"]}


def train(kind, excerpt, path):
    """A few thousand tokens under a pre-tokeniser. Some merges are then left out while their tokens stay, so that
    there are words in the vocabulary that merging does not reach (what ignore_merges is about)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(kind)
    if kind in NORMALISED:
        tokenizer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=2500, min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([excerpt] + SENTENCES * 12, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [tuple(m) for m in model["merges"]]
    used = {part for merge in merges for part in merge}
    leaves = [i for i, (a, b) in enumerate(merges) if a + b not in used]
    dropped = set(leaves[::8])
    merges = [m for i, m in enumerate(merges) if i not in dropped]
    user_defined = USER_DEFINED.get(kind, [])
    types = [TYPE_NORMAL] * len(tokens) + [TYPE_CONTROL] * len(CONTROL) + [TYPE_USER_DEFINED] * len(user_defined)
    tokens = tokens + CONTROL + user_defined

    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(kind)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(m) for m in merges])
    writer.add_eos_token_id(tokens.index("<|endoftext|>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


# --- strings ---------------------------------------------------------------------------------------------------------

HANDWRITTEN = [
    "", " ", "  ", "\n", "\r\n", "\t", "a", " a", "a ", "  a", "a  b", "a   b ", "\n\n\n", "a\n", "a\n\n b", " \n \n ",
    "\t\t x", "x\t\ty", "a \t b", "  \n  a", "a  \r\n\r\n  b", "\r\r\n\n", "\x0b\x0c", "a\x85b\x85 c", "a\xa0b \xa0 c",
    "\u180ea \u180e b", "\u2028", "a\u2028\u2029b", " \u3000 全角\u3000空白", "\u200b\u200c\u200d\ufeff", "\u202f12\u00a0000",
    "\x00", "a\x00b", "\x00\x00 \x00", "\x01\x02\x03\x04\x05\x06\x07", "\x10\x13\x14\x16\x1d a\x04b c\x06",
    "don't", "DON'T", "Don't we'll They'Ve", "'s't're've'm'll'd", "'S'T'RE'VE'M'LL'D", "'\u017f it'\u017f", "' s", "''s", "a's1",
    "1", "12", "123", "1234", "12345678", " 1", "  1", "a1", "1a", "a 1 b", "a  1", "\n1", "1\n2", "1.5e-10", "3,141,592",
    "½", "²", "x² ½ ¾", "Ⅷ Ⅸ", "①②③ ④", "٣٤٥ ۱۲۳", "一二三", "१२३४", "𝟘𝟙𝟚", "𒐕", "1½2", " ½", "  ½ ",
    "!", "!!!", " !", "a!b", "!a", " !a", "...", "?!\n", "?!\n\n x", "-->", "a->b", "{}\n{}", "//\r\n//", "$100", "@user", "#tag #1",
    "café", "cafe\u0301", "e\u0301\u0323", "\u1e0b\u0323", "\u0301", " \u0301", "a\u0301\u0301\u0301", "Å\u212b A\u030a", "ﬁ ﬀ",
    "\u0344 \u0340 \u0341 \u0387", "\u1100\u1161\u11a8", "가\u11a8", "\u0958 क\u093c", "\u2126 \u212a", "\u0f73\u0f75", "\U0001d15e",
    "\u0b47\u0b3e", "\u09c7\u09be", "ℌ", "豈", "\ufb1d", "\u2adc", "q\u0307\u0323", "s\u0323\u0307",
    "🙂", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽👍", "❤️", "a🙂b", " 🙂 ", "🙂🙂🙂", "✈️ ✂︎", "#️⃣1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "<|im_start|>user\nhi<|im_end|>", "<|endoftext|>", "<|im_end|", "<|im", "<|", "<tool_call>", "<tool_call>>", "a<tool_call>b",
    " <tool_call> x </tool_call>\n", "<tool_call", "<tool_call><tool_call>>>",
    "supercalifragilisticexpialidocious", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "a" * 47, "a" * 48, "a" * 49, "a" * 50, "ab" * 40, "the" * 33, "é" * 60, "漢" * 50, "0" * 70, " " * 70, "\n" * 70, "=" * 80, "-" * 49,
    "https://example.org/path/to/file.html?query=value&other=1#fragment", "C:\\Users\\name\\file.txt", "user.name+tag@example.co.uk",
    "\ufffd", "a\ufffdb", "\ufffe\uffff", "\U0010ffff \U000f0000 \ue000", "\U00040000\U00080000",
]
INVALID = ["80", "61ff62", "c3", "c328", "e28228", "e282", "f09f98", "f09f9861", "eda080", "edbfbf", "c080", "c1bf", "f5808080",
           "f4908080", "e0808020", "f0808080", "fefeffff", "61e282c3a9", "2080208020", "c3a9c3", "e2c3a9", "f09fe282ac", "0080",
           "6162f0", "f888808080", "20c2", "c2200a"]
ALPHABETS = [(0x20, 0x7F), (0xA0, 0x250), (0x370, 0x400), (0x400, 0x530), (0x530, 0x590), (0x590, 0x600), (0x600, 0x700),
             (0x900, 0x980), (0x980, 0xA00), (0xB80, 0xC00), (0xE00, 0xE80), (0x0F00, 0x1000), (0x10A0, 0x1200), (0x1200, 0x1380),
             (0x13A0, 0x1400), (0x1780, 0x1800), (0x1800, 0x18B0), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2200),
             (0x2460, 0x2500), (0x3040, 0x3100), (0x4E00, 0x5200), (0xAC00, 0xB000), (0x1F300, 0x1F650), (0x10330, 0x10350),
             (0x1D400, 0x1D800), (0x0300, 0x0370)]
SPACES = [" ", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\x0b", "\x85"]
PIECES = ["'s", "'S", "'ll", "'LL", "'re", "n't", "'", "1", "23", "456", "7890", "½", "²", "Ⅷ", "!", "?!", "...", "--", "(", ")", "_", "€",
          "the", " the", "and", "House", "naïve", "Straße", "слово", "λέξη", "字", "例え", "한국", "مرحبا", "🙂", "👩‍👧", "e\u0301", "\x00"]


def nfc_agrees(text):
    """The package's NFC tables are older than Unicode 14: it does not order 98 later combining marks."""
    return normalizers.NFC().normalize_str(text) == unicodedata.normalize("NFC", text)


def assigned(c):
    return unicodedata.category(c) not in ("Cn", "Cs")


def pool(low, high):
    return [chr(c) for c in range(low, high) if assigned(chr(c))]


def random_strings(rng, count, sentences):
    everything = [chr(c) for c in range(0x110000) if assigned(chr(c)) and unicodedata.category(chr(c)) != "Co"]
    pools = [pool(*a) for a in ALPHABETS]
    marks = [c for c in everything if unicodedata.combining(c)]
    makers = [
        lambda: "".join(rng.choice(everything) for _ in range(rng.randint(1, 12))),
        lambda: " ".join("".join(rng.choices(rng.choice(pools), k=rng.randint(1, 8))) for _ in range(rng.randint(1, 4))),
        lambda: "".join(rng.choice(PIECES + SPACES) for _ in range(rng.randint(2, 12))),
        lambda: "".join(rng.choice(SPACES + ["a", "1", "."]) for _ in range(rng.randint(2, 14))),
        lambda: "".join(rng.choice("aeo한क漢") + "".join(rng.choices(marks, k=rng.randint(0, 4))) for _ in range(rng.randint(1, 4))),
        lambda: cut(rng, rng.choice(sentences)),
        lambda: "".join(rng.choices("abcdefghij", k=rng.randint(40, 60))) if rng.random() < 0.2 else cut(rng, rng.choice(sentences)),
        lambda: "".join(rng.choice("0123456789.,- eEx½²٣") for _ in range(rng.randint(1, 14))),
    ]
    made = [makers[i % len(makers)]() for i in range(count)]
    agreed = [text for text in made if nfc_agrees(text)]
    print(f"{len(made) - len(agreed)} of {len(made)} random strings left out: NFC tables of different age")
    return agreed


def cut(rng, text):
    start = rng.randrange(len(text))
    return text[start:start + rng.randint(3, 70)]


def random_bytes(rng, count):
    pieces = [bytes.fromhex(h) for h in INVALID] + [p.encode() for p in PIECES + SPACES]
    return [b"".join(rng.choices(pieces, k=rng.randint(1, 6))) for _ in range(count)]


LONG = [["a", 1 << 20], [" ", 1 << 20], ["\n", 1 << 20], ["1", 1 << 20], ["é", 1 << 19], ["!", 1 << 20], ["ab", 1 << 19],
        [" \n", 1 << 19], ["漢", 350000], ["\r\n", 1 << 19], ["the", 350000], ["'", 1 << 20], ["e\u0301\u0323", 200000]]
SPANS = [
    [["<|im_start|>user\n", True], ["hello", False], ["<|im_end|>\n", True]],
    [["<|im_start|>user\n", True], ["<|im_end|> <|endoftext|>", False], ["<|im_end|>\n", True]],
    [["<|im_start|>", True], ["sys", False], ["tem\n", True], ["A", False], ["B C ", True], [" d", False], ["<|im_end|>", True]],
    [["a ", False], [" b", False], ["  ", True], [" c", False], ["\n", True], ["\n", False]],
    [["<|im_start|>x 1", True], ["2", False], ["34'", True], ["s", False], ["<|im_end|>", True]],
    [["cafe", True], ["\u0301 ", False], ["<|im_end|>", True], ["\u0301", False]],
    [["<|im_", True], ["start|>", True], ["<|im_start|>", False], ["", True], ["<|endoftext|><|endoftext|>", True]],
]


def write_goldens(reference, sentences, out):
    rng = random.Random(f"claa {reference.kind}")
    cases = [{"text": t, "ids": reference.encode(t)} for t in HANDWRITTEN + random_strings(rng, 500, sentences)]
    for data in [bytes.fromhex(h) for h in INVALID] + random_bytes(rng, 40):
        cases.append({"hex": data.hex(), "ids": reference.encode(data.decode("utf-8", "replace"))})
    for spans in SPANS:
        merged = []  # the reference takes neighbours of the same kind as one text
        for text, special in spans:
            if merged and merged[-1][1] == special:
                merged[-1][0] += text
            elif text:
                merged.append([text, special])
        cases.append({"spans": spans, "ids": reference.encode_spans(merged)})
    for text, times in LONG:
        ids = reference.encode(text * times)
        cases.append({"repeat": [text, times], "count": len(ids), "fnv1a": fnv1a(ids)})
    path = out / f"goldens_{reference.kind}.jsonl"
    path.write_text("".join(json.dumps(c, ensure_ascii=True, separators=(",", ":")) + "\n" for c in cases))
    print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="SmolLM2 as GGUF")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "tests/data/tokenizer")
    parser.add_argument("--train", action="store_true", help="make the small vocabularies anew")
    args = parser.parse_args()
    if not unicodedata.unidata_version.startswith("14."):
        parser.error(f"unicodedata is of Unicode {unicodedata.unidata_version}; use Python 3.11 (Unicode 14)")
    excerpt = (args.out / "excerpt.txt").read_bytes().decode()
    sentences = SENTENCES + [line for line in excerpt.split("\n") if len(line) > 30][:400]
    hashes = {}
    for kind in KINDS:
        path = args.model if kind == "smollm" else args.out / f"vocab_{kind}.gguf"
        if kind != "smollm" and (args.train or not path.exists()):
            train(kind, excerpt, path)
        reference = Reference(path)
        assert reference.kind == kind, (reference.kind, kind)
        write_goldens(reference, sentences, args.out)
        ids = reference.encode(excerpt)
        hashes[kind] = {"count": len(ids), "fnv1a": fnv1a(ids)}
    (args.out / "excerpt_ids.json").write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
