#!/usr/bin/env python3
"""Makes tests/data/tokenizer/json.json: tokenizers of tokenizer.json files, and the ids that `tokenizers` gives.

    python3 -m venv VENV && VENV/bin/pip install tokenizers==0.23.3 gguf==0.19.0
    VENV/bin/python tools/make_tokenizer_json_goldens.py

For each pre-tokenizer of make_tokenizer_goldens.py the file has all of its tokenizer.json but vocabulary and merges,
which the test takes from the GGUF files of the same kind: their goldens hold for both. BPE of characters, as Gemma and
Llama 2 have it, has one small vocabulary, trained here, several ways to write spaces, and goldens of its own.
"""
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

from make_tokenizer_goldens import (HANDWRITTEN, KINDS, NORMALISED, SENTENCES, WHOLE_WORDS, pre_tokenizer,
                                    random_strings)

OUT = Path(__file__).parent.parent / "tests/data/tokenizer"
MARK = "\u2581"
BYTES = [f"<0x{b:02X}>" for b in range(256)]
CONTROL, USER_DEFINED = ["<unk>", "<s>", "</s>"], ["<extra>", "  \n"]


def without_vocabulary(tokenizer):
    parts = json.loads(tokenizer.to_str())
    parts["model"]["vocab"], parts["model"]["merges"] = {}, []
    return parts


def byte_level(kind):
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind in WHOLE_WORDS))
    tokenizer.pre_tokenizer = pre_tokenizer(kind)
    if kind in NORMALISED:
        tokenizer.normalizer = normalizers.NFC()
    return without_vocabulary(tokenizer)


def train_characters(excerpt):
    """Vocabulary and merges. Spaces inside tokens, too, as Gemma has them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", MARK)
    trainer = trainers.BpeTrainer(vocab_size=1500, min_frequency=2, show_progress=False, limit_alphabet=150)
    lines = [line for line in excerpt.split("\n") if line]
    tokenizer.train_from_iterator([" ".join(lines[i:i + 1]) for i in range(len(lines))] + SENTENCES * 4 + ["        "] * 50, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = CONTROL + BYTES + sorted(model["vocab"], key=model["vocab"].get)
    return {token: i for i, token in enumerate(tokens)}, [tuple(merge) for merge in model["merges"]]


def styles():
    """Normaliser, pre-tokenizer and options of the model."""
    replace = normalizers.Replace(" ", MARK)
    fallback = {"byte_fallback": True, "fuse_unk": True}
    yield "gemma", replace, pre_tokenizers.Split(" ", "merged_with_previous"), fallback
    yield "prepend", normalizers.Sequence([normalizers.Prepend(MARK), replace]), None, fallback
    yield "first", None, pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="first", split=False), fallback
    yield "always", None, pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=True), fallback
    yield "fused", replace, None, {"fuse_unk": True}
    yield "stripped", replace, None, fallback
    yield "unfused", replace, None, {"ignore_merges": True}


def characters(vocabulary, merges, style, texts):
    name, normalizer, pre, options = style
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", **options))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in USER_DEFINED])
    plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    # Control tokens are not recognised in what a user writes, so that only here they are added.
    strips = name == "stripped"
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False, lstrip=strips and t == "</s>",
                                             rstrip=strips and t != "<unk>") for t in CONTROL])
    chat = "<s> \n Hello you\u2003 \x1c </s> <s>\u3000again  and"
    return {"name": name, "json": without_vocabulary(tokenizer), "ids": plain,
            "chat": chat, "chat_ids": tokenizer.encode(chat, add_special_tokens=False).ids}


def main():
    excerpt = (OUT / "excerpt.txt").read_bytes().decode()
    vocabulary, merges = train_characters(excerpt)
    rng = random.Random("claa json")
    sentences = SENTENCES + [line for line in excerpt.split("\n") if len(line) > 30][:100]
    texts = [t for t in HANDWRITTEN + random_strings(rng, 120, sentences) if not any(c in t for c in CONTROL)]
    out = {"byte_level": {kind: byte_level(kind) for kind in KINDS if kind != "smollm"},
           "vocabulary": vocabulary, "merges": [" ".join(merge) for merge in merges], "texts": texts,
           "characters": [characters(vocabulary, merges, style, texts) for style in styles()]}
    path = OUT / "json.json"
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size} bytes, {len(texts)} texts, {len(merges)} merges")


if __name__ == "__main__":
    main()
