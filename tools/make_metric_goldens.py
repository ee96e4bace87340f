#!/usr/bin/env python3
"""Makes tests/data/eval/metrics.json: pairs of texts with the scores that the Python packages give.

ROUGE-L and the fuzzy ratio come from the packages themselves; the other metrics are written here from their description
(spec.md 10.1 to 10.3) on Python's own str and re, which is what the C++ has to equal. Texts are sentences of
examples/document.txt, random edits of them, code, and texts made to be difficult. A pair is two indices into one table
of strings. Seeded: the same versions give the same bytes. The same Python is needed for that: 3.11 (Unicode 14.0).

    python3.11 -m venv .venv && .venv/bin/pip install --no-deps rouge==1.0.1 six==1.17.0 fuzzywuzzy==0.18.0
    .venv/bin/python tools/make_metric_goldens.py
"""

import argparse
import collections
import json
import pathlib
import random
import re
import string
import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # fuzzywuzzy says that it falls back to difflib, as intended
    from fuzzywuzzy import fuzz
from rouge import Rouge

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEED = 10260
PAIRS = 600
SPACES = ["\t", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u2029",
          "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff", " ", "  ", ""]
WORDS = ["the", "The", "A", "an", "a", "THE", "theme", "an.", "the-a", "a_b", "\u201cthe", "a\u2019s", "\u2014an\u2014",
         "a\u0301b", "\u00e9a", "\u0130STANBUL", "\u039f\u03a3", "\u03a3", "\u039f\u03a3.", "\u039f\u03a3'\u0391",
         "\u03a3\u0301\u03a3", "\u00aa\u03a3", "\u216b\u03a3", "\u02b0\u03a3", "\u1e9e", "\u01c5", "\u13a0", "\u10a0",
         "\ufb01", "K", "\u2126", "\U00010400", "\u24b6\u03a3", "12", "7", "07", "3.14", "\u0663", "\u00b2", "\u2167",
         "\u4e2d\u6587", "\u3042", "\U0001f600", "e\u0301", "\u00bd", "x", ".", "..", "...", "!", "\u3002", "'", "``"]
FIXED = ["", " ", ".", "..", "...", ". .", " . . ", ".\u00a0.", "\u2028", "\t.\t", "\n", "\n\n", "!?,;:", "_", "the", "a an the",
         "the the the", "a.a.a", ".a", "a.", "a b", "b a", "a b c d", "d c b a", "a. b. c", "a b. b a", "A a", "x" * 199,
         "x" * 200, "x" * 201, "ab" * 100, "ab" * 101, "ba" * 99 + "c", "\u3002", "\u0130", "i\u0307", "0", "\x00", "a\x00b"]
CODE = ["for (int i = 0; i < n; ++i) total += values[i];", "    return self.cache[key]  # cached", "// nothing here",
        "def f(x, *args, **kwargs):", "x = `ls`", "```python", "", "public static void main(String[] args) {", "#include <vector>",
        "    self.assertEqual(expected, actual)", "}", "\t\tif err != nil {", "\r", "url = 'http://example.org'", "a = b / c",
        "    raise ValueError(f\"{name!r} is not one of {sorted(names)}\")"]
CLASSES = ["Number of something", "Number", "Person", "Individual", "Person or group", "group", "City", "city", "Date", "Dat",
           "Other", "Other location", "Code", "abbreviation", "Expression abbreviated", "\u4e2d\u6587", "\u6587", "a"]


class Texts:
    """The table of strings."""

    def __init__(self):
        self.index = {}

    def __call__(self, text):
        return self.index.setdefault(text, len(self.index))


def sentences():
    text = (ROOT / "examples" / "document.txt").read_text(encoding="utf-8")
    return [s for s in re.split(r"(?<=[.!?])\s+", text) if 20 < len(s) < 400]


def edited(rng, text):
    """A few random edits of words and characters."""
    words = text.split(" ")
    for _ in range(rng.randint(0, 8)):
        at = rng.randrange(len(words))
        kind = rng.randrange(7)
        if kind == 0 and len(words) > 1:
            del words[at]
        elif kind == 1:
            words.insert(at, rng.choice(WORDS))
        elif kind == 2:
            words[at] = words[at].upper() if rng.random() < 0.5 else words[at].capitalize()
        elif kind == 3:
            words[at] += rng.choice(SPACES) + rng.choice([".", ",", "", "\u201d"])
        elif kind == 4:
            words.insert(at, words[rng.randrange(len(words))])
        elif kind == 5:
            other = rng.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        else:
            words[at] = words[at][::-1]
    return " ".join(words)


def strange(rng):
    """Odd words and odd white space."""
    return "".join(rng.choice(WORDS) + rng.choice(SPACES) for _ in range(rng.randint(0, 14)))


def repeated(rng, kinds, most):
    return " ".join(rng.choice(["u", "v", "w", "x.", "the", "y"][:kinds]) for _ in range(rng.randint(0, most)))


def text_pairs(rng, source, count):
    for a in FIXED[:24]:
        yield a, rng.choice(FIXED)
    for text in FIXED:
        yield text, text
    for i in range(count - 24 - len(FIXED)):
        kind = i % 6
        if kind == 0:
            start = rng.randrange(len(source) - 4)
            text = " ".join(source[start:start + rng.randint(1, 3)])
            yield edited(rng, text), text
        elif kind == 1:
            text = rng.choice(source)
            yield edited(rng, text), edited(rng, text)
        elif kind == 2:
            yield rng.choice(source), rng.choice(source)
        elif kind == 3:
            text = strange(rng)
            yield edited(rng, text), text
        elif kind == 4:
            yield strange(rng), strange(rng)
        else:
            kinds = rng.randint(1, 6)
            yield repeated(rng, kinds, 40), repeated(rng, kinds, 40)


def normalized(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def qa_f1(prediction, answer):
    have, want = normalized(prediction), normalized(answer)
    common = sum((collections.Counter(have) & collections.Counter(want)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(have), common / len(want)
    return 2 * precision * recall / (precision + recall)


def depth():
    frame, count = sys._getframe(1), 0
    while frame:
        frame, count = frame.f_back, count + 1
    return count


def rouge_l(prediction, answer, limit):
    """`limit` None: never too deep. Else the recursion limit as it stands for a function called by a module."""
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6 if limit is None else limit + depth() - 3)
    try:
        return Rouge().get_scores([prediction], [answer], avg=True)["rouge-l"]["f"]
    except (ValueError, RecursionError):
        return 0.0
    finally:
        sys.setrecursionlimit(old)


def classification(prediction, answer, names):
    named = [name for name in names if name in prediction]
    for name in named:  # shortened while it is walked over, on purpose: the published code does so
        if name in answer and name != answer:
            named.remove(name)
    return 1 / len(named) if answer in named else 0.0


def share(prediction, wanted):
    numbers = re.findall(r"\d+", prediction)
    return numbers.count(wanted) / len(numbers) if numbers else 0.0


def retrieval(prediction, answer):
    wanted = re.search(r"Paragraph (\d+)", answer)
    return share(prediction, wanted.group(1)) if wanted else 0.0


def code_sim(prediction, answer):
    lines = prediction.lstrip("\n").split("\n")
    line = next((x for x in lines if not any(mark in x for mark in ("`", "#", "//"))), "")
    return fuzz.ratio(line, answer) / 100


def ruler(prediction, references):
    found = [reference.lower() in prediction.lower() for reference in references]
    return sum(found) / len(found), float(any(found))


def needle(response, expected):
    def fraction(strip):
        have, want = ({w.strip(string.punctuation) if strip else w for w in text.lower().split()} - {""}
                      for text in (response, expected))
        return len(have & want) / len(want) if want else 0.0
    return fraction(False), fraction(True)


def long_pairs(rng):
    """Around Python's recursion limit, by different ways through the table."""
    words = [f"w{i}" for i in range(1100)]
    for n in (989, 990, 991, 992):
        yield " ".join(words[:n]), " ".join(words[:n])  # every step is a match
    yield "q " * 700, "r " * 250  # all steps in the candidate, then all in the reference
    yield "q " * 995, "r"
    yield "r", "q " * 995
    yield " ".join(words[:600]), " ".join(reversed(words[200:700]))
    yield "a b. " + " ".join(words[:995]), "b a. " + " ".join(words[3:998])
    for _ in range(3):
        yield repeated(rng, 4, 900).replace(".", ""), repeated(rng, 4, 900).replace(".", "")


def number_text(rng):
    parts = ["Paragraph 7", "paragraph 7", "7", "07", "12", "1,234", "3.7", "\u0667", "\u00b2", "x7y", "Paragraph", "Paragraph  7", "-7",
             "Paragraph \u0661", "\n", "is", "Paragraph 12.", "\u2166", "7\u0667", "Paragraph x Paragraph 3"]
    return rng.choice(["", " ", ", "]).join(rng.choice(parts) for _ in range(rng.randint(0, 6)))


def code_text(rng):
    lines = [rng.choice(CODE) for _ in range(rng.randint(0, 5))]
    return rng.choice(["", "\n", "\n\n", " \n"]) + "\n".join(lines)


def ratio_pairs(rng, source):
    yield from text_pairs(rng, source, PAIRS - 120)
    for _ in range(120):  # long texts, where frequent characters start no match
        text = " ".join(rng.choice(CODE) for _ in range(rng.randint(3, 16)))
        other = edited(rng, text)
        yield (text, other) if rng.random() < 0.7 else (other, "".join(rng.choice("abc") for _ in range(rng.randint(150, 420))))


def build(rng):
    texts, source = Texts(), sentences()
    data = {"strings": None}
    pool = list(text_pairs(rng, source, PAIRS))
    data["lower_case"] = [[texts(a), texts(a.lower())] for a, _ in pool]
    data["qa_f1"] = [[texts(a), texts(b), qa_f1(a, b)] for a, b in pool]
    data["rouge_l"] = [[texts(a), texts(b), rouge_l(a, b, None), rouge_l(a, b, 1000)] for a, b in pool + list(long_pairs(rng))]
    data["fuzz_ratio"] = [[texts(a), texts(b), fuzz.ratio(a, b)] for a, b in ratio_pairs(rng, source)]
    data["needle"] = [[texts(a), texts(b), *needle(a, b)] for a, b in pool]
    data["ruler"] = []
    for a, b in pool:
        references = [rng.choice([b, rng.choice(WORDS), a[2:9].upper(), a[-6:], "zq"]) for _ in range(rng.randint(1, 5))]
        data["ruler"].append([texts(a), [texts(r) for r in references], *ruler(a, references)])
    data["classification"] = []
    for _ in range(PAIRS):
        names = [rng.choice(CLASSES) for _ in range(rng.randint(0, 12))]
        if rng.random() < 0.1:
            names.append("")
        gold = rng.choice(names) if names and rng.random() < 0.8 else rng.choice(CLASSES)
        said = rng.choice(["", " ", ", "]).join([gold] * rng.randint(0, 1) + [rng.choice(CLASSES) for _ in range(rng.randint(0, 4))])
        data["classification"].append([texts(said), texts(gold), [texts(n) for n in names], classification(said, gold, names)])
    data["retrieval"], data["count"], data["code_sim"] = [], [], []
    for _ in range(PAIRS):
        a, b = number_text(rng), number_text(rng)
        if rng.random() < 0.6:
            b = "Paragraph " + rng.choice(["7", "12", "07", "1", "\u0667"])
        data["retrieval"].append([texts(a), texts(b), retrieval(a, b)])
        b = rng.choice(["7", "7", "12", "07", "1", "\u0667", " 7", "", b])
        data["count"].append([texts(a), texts(b), share(a, b)])
        a, b = code_text(rng), rng.choice(CODE)
        b = edited(rng, b) if rng.random() < 0.5 else b
        data["code_sim"].append([texts(a), texts(b), code_sim(a, b)])
    data["strings"] = list(texts.index)
    return data


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests" / "data" / "eval" / "metrics.json")
    arguments = parser.parse_args()
    data = build(random.Random(SEED))
    entries = [f"{json.dumps(key)}:[\n" + ",\n".join(json.dumps(v, separators=(",", ":")) for v in values) + "\n]"
               for key, values in data.items()]
    arguments.out.write_text("{" + ",\n".join(entries) + "}\n", encoding="ascii")
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes,",
          ", ".join(f"{len(values)} {key}" for key, values in data.items()))


if __name__ == "__main__":
    main()
