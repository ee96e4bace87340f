#!/usr/bin/env python3
"""Writes the first inputs of the fuzzers of rankings, profiles, records, requests, chats and folders to fuzz/corpus.

    python3 tools/make_fuzz_seeds.py
"""
import json
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz/corpus"

# Data of every kind of task. The fuzzer's first byte chooses the task, in the order of `all_tasks()` without those that
# make their own data: qa_1, qa_2, ruler_files, 30 of LongBench, kv_retrieval, two of LongEval, five of BABILong.
SQUAD = {"version": "2", "data": [{"title": "T", "paragraphs": [
    {"context": "The key is red.", "qas": [{"question": "Which key?", "id": "1", "is_impossible": False,
                                            "answers": [{"text": "red", "answer_start": 11}]}]},
    {"context": "The door is blue.", "qas": []}]}]}
HOTPOT = [{"_id": "1", "question": "Which key?", "answer": "red", "context": [["A", ["The key ", "is red."]], ["B", ["No."]]]}]
LONGBENCH = {"input": "Which key?", "context": "The key is red.", "answers": ["red"], "length": 4, "dataset": "narrativeqa",
             "language": "en", "all_classes": ["red", "blue"], "_id": "1"}
RECORDS = {
    "squad": (0, [SQUAD]),
    "hotpot": (1, [HOTPOT]),
    "ruler": (2, [{"index": 0, "input": "The key is red.", "outputs": ["red"], "answer_prefix": " It is"}]),
    "narrativeqa": (3, [LONGBENCH, LONGBENCH]),
    "trec": (12, [LONGBENCH]),
    "keys": (33, [{"ordered_kv_records": [["a", "b"]], "key": "a", "value": "b"}]),
    "lines": (34, [{"prompt": "line a: <1>", "expected_number": 1, "random_idx": ["a", 0], "num_lines": 1}]),
    "topics": (35, [{"prompt": "A topic.", "topics": ["key"]}]),
    "babilong": (36, [{"input": "Mary went to the garden.", "question": "Where is Mary?", "target": "garden"}]),
}

# method (in alphabetical order), layers - 1, tokens (two bytes), protected tokens, then parameter and value.
REQUESTS = {
    "claa": bytes([0, 29, 16, 0, 0]) + b"\x000.1\n\x0818\n",
    "claa_heads": bytes([0, 29, 32, 0, 20]) + b"\x0c15.0*1,15.3*0.5\n\x0818\n\x0d10:0.4\n\x0e10.1*1\n\x0f0.9\n",
    "fastkv": bytes([1, 31, 8, 0, 0]) + b"\x000.3\n\x0315\n",
    "full": bytes([2, 29, 16, 0, 0]),
    "gemfilter": bytes([3, 29, 16, 0, 8]) + b"\x000.3\n",
    "oracle": bytes([4, 29, 16, 0, 8]) + b"\x0120\n",
    "snapkv": bytes([5, 29, 16, 0, 8]) + b"\x050.3\n",
    "specprefill": bytes([6, 29, 0, 40, 8]) + b"\x000.3\n",
    "streaming": bytes([7, 3, 255, 255, 1]) + b"\x00100\n",
    "uniform": bytes([8, 79, 1, 0, 255]) + b"\x000.5\n",
}


F8, U8, BF16, F32 = ("F8_E4M3", 1), ("U8", 1), ("BF16", 2), ("F32", 4)
UP, EXPERT = "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.experts.{}.up_proj.weight"
SAFETENSORS = {
    "empty": {},
    "plain": {"model.embed_tokens.weight": (F32, [2, 3]), "lm_head.weight": (BF16, [2, 3]), "vision_tower.x": (F32, [1])},
    "tiles": {UP: (F8, [3, 4]), UP + "_scale_inv": (F32, [2, 2]), "model.layers.0.mlp.up_proj.input_scale": (F32, [])},
    "rows": {UP: (F8, [3, 4]), UP + "_scale": (BF16, [3, 1]), "model.layers.1.input_layernorm.weight": (BF16, [2])},
    "parts": {f"model.layers.0.{part}": (kind, shape) for part, kind, shape in (
        ("heads", BF16, [4]), ("decay", F32, [4]), ("rows", BF16, [8, 2]), ("mixed", F32, [16, 1, 1]), ("columns", BF16, [2, 8]),
        ("numbers", F32, [1, 3]), ("same", BF16, [2, 2]))},
    "packed": {f"model.layers.0.{part}": (kind, shape) for part, kind, shape in (
        ("halves", BF16, [2, 2, 2]), ("other", BF16, [2, 4]), ("turned", BF16, [2, 2, 2]), ("turn", BF16, [2, 2, 2]),
        ("packed_blocks", U8, [1, 2, 1, 16]), ("packed_scales", U8, [1, 2, 1]), ("pair_blocks", U8, [1, 2, 1, 16]),
        ("pair_scales", U8, [1, 2, 1]))},
    "experts": {key: value for e in range(2) for key, value in (
        (EXPERT.format(e), (F8, [2, 3])), (EXPERT.format(e) + "_scale_inv", (F32, [1, 1])))},
}

BYTE_LEVEL = {
    "added_tokens": [{"id": 3, "content": "<s>", "special": True}, {"id": 4, "content": "</s>", "special": True},
                     {"id": 5, "content": "Hello", "special": False}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "'s|\\p{N}{1,3}| ?\\p{L}+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": False},
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}]},
    "model": {"type": "BPE", "ignore_merges": True, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}}
CHARACTERS = {
    "added_tokens": [{"id": 0, "content": "<unk>", "special": True}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {
        "type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
    "pre_tokenizer": None,
    "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True,
              "vocab": {"<unk>": 0, "<0xFF>": 1, "a": 2, "\u2581": 3, "\u2581a": 4, "aa": 5}, "merges": ["\u2581 a", "a a"]}}
METASPACE = {**CHARACTERS, "normalizer": None, "pre_tokenizer": {
    "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}}
TOKENIZER_CONFIG = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": True,
                    "chat_template": [{"name": "default", "template": "{{ messages }}"}]}
TOKENIZERS = {"byte_level": [BYTE_LEVEL, TOKENIZER_CONFIG, {"eos_token_id": [4, 2]}], "characters": [CHARACTERS],
              "metaspace": [METASPACE]}

CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{\"where\": [1, 2.5, null, true]}"}}
CHATS = {
    "tools": {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}], "messages": [
        {"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": [CALL, CALL]},
        {"role": "tool", "tool_call_id": "c", "name": "look", "content": "here"}]},
    "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "thinking": "t", "refusal": None}],
}


def safetensors(tensors):
    header, size = {}, 0
    for name, ((dtype, width), shape) in tensors.items():
        count = width
        for extent in shape:
            count *= extent
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [size, size + count]}
        size += count
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(0x30 + i % 16 for i in range(size))


def ranking(ids, scores):
    """Without the checksum at its end, which the fuzzer adds."""
    return (b"CLAARANK" + struct.pack("<IIQQ", 1, 0, 7, len(ids)) + struct.pack(f"<{len(ids)}i", *ids)
            + struct.pack(f"<{len(scores)}f", *scores))


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main():
    write("ranking", "empty", ranking([], []))
    write("ranking", "three", ranking([1, 2, 70000], [0.5, 0.0, 3.0]))
    write("ranking", "infinite", ranking([1], [float("inf")]))
    for path in sorted((ROOT / "profiles").glob("*.json")):
        write("profile", path.name, path.read_bytes())
    for name, (task, records) in RECORDS.items():
        write("records", name, bytes([task]) + "\n".join(map(json.dumps, records)).encode())
    for name, data in REQUESTS.items():
        write("request", name, data)
    for name, tensors in SAFETENSORS.items():
        write("safetensors", name, safetensors(tensors))
    for name, chat in CHATS.items():
        write("chat", name, json.dumps(chat).encode())
    for name, files in TOKENIZERS.items():
        write("tokenizer_json", name, "\n####\n".join(map(json.dumps, files)).encode())


if __name__ == "__main__":
    main()
