#!/usr/bin/env python3
"""Makes tests/data/tokenizer/gemma4.json: a small vocabulary of Gemma 4's kind, texts, and their ids by `tokenizers`.

    python3 -m venv VENV && VENV/bin/pip install tokenizers==0.23.3 gguf==0.19.0
    VENV/bin/python tools/make_gemma4_goldens.py

As in the real one, runs of newlines, spaces and tabs are tokens that merging reaches, the longest ones first; some
tokens have a space inside; every byte has a token, and few characters have one.
"""
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

from make_tokenizer_goldens import HANDWRITTEN, SENTENCES, random_strings

OUT = Path(__file__).parent.parent / "tests/data/tokenizer/gemma4.json"
MARK = "\u2581"
CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>"]
USER_DEFINED = ["<|tool_call>", "<tool_call|>", "<|tool_response>", "<|\"|>"]
BYTES = [f"<0x{b:02X}>" for b in range(256)]
LONGEST_RUN = 12
NORMAL, CONTROL_TYPE, USER_TYPE, BYTE_TYPE = 1, 3, 4, 6


def runs():
    """Tokens and merges of runs; a run's own merges come before those of shorter ones."""
    tokens = [c * n for n in range(1, LONGEST_RUN + 1) for c in ("\n", MARK, "\t")]
    merges = [(c * left, c * (n - left)) for n in range(LONGEST_RUN, 1, -1) for left in range(n - 1, 0, -1)
              for c in ("\n", MARK, "\t")]
    return tokens, merges


def vocabulary(excerpt):
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", MARK)
    trained.pre_tokenizer = pre_tokenizers.Split(MARK, "merged_with_next")
    lines = [line for line in excerpt.split("\n") if line] + SENTENCES * 4
    trained.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=700, min_frequency=2, show_progress=False, limit_alphabet=110))
    model = json.loads(trained.to_str())["model"]
    tokens, merges = runs()
    tokens += [t for t in sorted(model["vocab"], key=model["vocab"].get) if t not in tokens]
    inner = [(f".{MARK}", ".", MARK), (f".{MARK}{MARK}", f".{MARK}", MARK), (f"e{MARK}t", f"e{MARK}", "t"),
             (f"e{MARK}", "e", MARK)]
    tokens += [token for token, _, _ in inner]
    merges += [tuple(merge) for merge in model["merges"]] + [(a, b) for _, a, b in reversed(inner)]
    listed = CONTROL + USER_DEFINED + BYTES + tokens
    types = ([CONTROL_TYPE] * len(CONTROL) + [USER_TYPE] * len(USER_DEFINED) + [BYTE_TYPE] * len(BYTES)
             + [NORMAL] * len(tokens))
    return listed, types, [f"{a} {b}" for a, b in merges]


def reference(tokens, merges):
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)},
                                     merges=[tuple(merge.split(" ")) for merge in merges], unk_token="<unk>",
                                     byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", MARK)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in USER_DEFINED])
    return tokenizer


def main():
    excerpt = (OUT.parent / "excerpt.txt").read_bytes().decode()
    tokens, types, merges = vocabulary(excerpt)
    tokenizer = reference(tokens, merges)
    rng = random.Random("claa gemma4")
    pieces = ["\n", "\n\n", "\t", " ", "  ", "x", ".", "e t", MARK, "<|tool_call>", "<tool_call|>", "é", "日", "\U0001f999",
              "<0x41>", "\n" * 30, "the", "e"]
    texts = HANDWRITTEN + random_strings(rng, 100, SENTENCES)
    texts += ["".join(rng.choice(pieces) for _ in range(rng.randint(1, 25))) for _ in range(100)]
    texts = [t for t in texts if not any(c in t for c in CONTROL)] + [excerpt[:4000], excerpt[:3000].replace(" ", "")]
    chat = "<bos><|turn>user\nIs it ?<turn|>\n<|turn>model\n<|tool_call>call:f{}<tool_call|>"
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL])
    out = {"tokens": tokens, "types": types, "merges": merges, "texts": texts, "ids": ids, "chat": chat,
           "chat_ids": tokenizer.encode(chat, add_special_tokens=False).ids}
    OUT.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes, {len(texts)} texts, {len(tokens)} tokens, {len(merges)} merges")


if __name__ == "__main__":
    main()
