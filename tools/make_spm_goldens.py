#!/usr/bin/env python3
"""Makes tests/data/tokenizer/spm.json: a small SentencePiece vocabulary, texts, and their ids by that library.

    python3 -m venv /tmp/spm
    /tmp/spm/bin/pip install sentencepiece==0.2.0 protobuf==5.29.5
    /tmp/spm/bin/python tools/make_spm_goldens.py
"""

import io
import json
import pathlib
import random

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

ROOT = pathlib.Path(__file__).resolve().parent.parent
USER_DEFINED = ["\n\n", "\t", "\u2581\u2581", "\u2581\u2581\u2581\u2581", "<b>"]
# Tokens over the end of a word, as real vocabularies have a few.
WITH_INNER_SPACE = [(".\u2581", 0.25), (".\u2581The", 0.5)]
PIECES = list("abc \n\t'\"<>|é日語🦙\u2581\u00a0\u200b.") + ["  ", "    ", "\n\n", "the", " of", ". The", "<b>", "<s>", "<0x41>", "Anne"]


def train(text):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.split("\n")), model_writer=model, model_type="bpe", vocab_size=900, byte_fallback=True,
        user_defined_symbols=USER_DEFINED, normalization_rule_name="identity", remove_extra_whitespaces=False,
        character_coverage=0.999, minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    for piece, score in WITH_INNER_SPACE:
        added = proto.pieces.add()
        added.piece, added.score = piece, score
    return proto


def texts(document):
    random.seed(5)
    made = ["", " ", "Hello", " Hello", "Hello  world", "a\u2581b", "x. The end.", "\n\n\n", "日本語", "\U0001f999", "<s></s>"]
    for _ in range(150):
        made.append("".join(random.choice(PIECES) for _ in range(random.randint(1, 40))))
    for _ in range(150):
        begin = random.randrange(len(document) - 120)
        made.append(document[begin:begin + random.randint(1, 120)])
    made.append(document[:4000].replace(" ", ""))  # one long word
    return made


def main():
    document = (ROOT / "examples/document.txt").read_text()
    proto = train(document)
    golden = {"tokens": [p.piece for p in proto.pieces], "scores": [p.score for p in proto.pieces],
              "types": [p.type for p in proto.pieces], "texts": texts(document)}
    for name, prefix in (("ids", False), ("prefixed_ids", True)):
        proto.normalizer_spec.add_dummy_prefix = prefix
        processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        golden[name] = [processor.encode(text) for text in golden["texts"]]
    # Where the added space could become part of a user-defined token, engines differ.
    starts = (" ", "\u2581", *USER_DEFINED)
    golden["prefixed_ids"] = [None if text.startswith(starts) else ids
                              for text, ids in zip(golden["texts"], golden["prefixed_ids"])]
    path = ROOT / "tests/data/tokenizer/spm.json"
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{path}: {len(golden['texts'])} texts, {len(golden['tokens'])} tokens")


if __name__ == "__main__":
    main()
