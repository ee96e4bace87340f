#!/usr/bin/env python3
"""Writes the prompts of docs/diagnosis.md as JSONL: make_diagnosis_prompts.py DATA OUT.jsonl

DATA is a folder with the unpacked sets (see docs/diagnosis.md for where they come from): ruler_generated/2048/*.jsonl,
babilong/{1k,2k}/*.jsonl, longbench_mini/longbench_mini_en.jsonl, longeval_longchat/{lines,topics}/*.jsonl and
lost_in_the_middle/kv-retrieval-75_keys.jsonl.gz. The first examples of every task are taken, so that the choice is fixed.
"""
import argparse
import gzip
import json
import pathlib

RETRIEVAL = "niah_"
QA = {"narrativeqa", "qasper", "multifieldqa_en", "hotpotqa", "2wikimqa", "musique"}
CHARACTERS = 24_000  # of ordinary text, about 8,192 tokens with room for an answer


def lines(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def record(group, task, index, prompt, gold, prefix=""):
    return {"id": f"{task}-{index}", "group": group, "task": task, "prompt": prompt, "answer_prefix": prefix, "gold": gold}


def ruler(data, each):
    for path in sorted((data / "ruler_generated/2048").glob("*.jsonl")):
        group = "RULER retrieval" if path.stem.startswith(RETRIEVAL) else "RULER other"
        for i, r in enumerate(lines(path)[:each]):
            yield record(group, f"ruler_{path.stem}", i, r["input"], ", ".join(r["outputs"]), r.get("answer_prefix", "").strip())


def babilong(data, each, lengths=("1k", "2k")):
    for length in lengths:
        for path in sorted((data / "babilong" / length).glob("*.jsonl")):
            for i, r in enumerate(lines(path)[:each]):
                prompt = f"{r['input']}\n\nAnswer the question with one or two words, from the facts in the text.\nQuestion: {r['question'].strip()}"
                yield record("BABILong", f"babilong_{path.stem}", f"{length}-{i}", prompt, r["target"])


def longbench(data, each):
    by_task = {}
    for r in lines(data / "longbench_mini/longbench_mini_en.jsonl"):
        if len(r["prompt"]) <= CHARACTERS:
            by_task.setdefault(r["task"], []).append(r)
    for task, records in sorted(by_task.items()):
        group = "LongBench QA" if task in QA else "LongBench other"
        for r in sorted(records, key=lambda r: len(r["prompt"]))[:each]:
            yield record(group, f"longbench_{task}", r["idx"], r["prompt"], r["answers"][0])


def longeval(data, each):
    for path in (data / "longeval_longchat/lines/200_lines.jsonl", data / "longeval_longchat/topics/5_topics.jsonl"):
        for i, r in enumerate(lines(path)[:each]):
            gold = r["expected_number"] if "expected_number" in r else r["topics"][0]
            yield record("LongEval", f"longeval_{path.parent.name}", i, r["prompt"], str(gold))


def key_values(data, each):
    for i, r in enumerate(lines(data / "lost_in_the_middle/kv-retrieval-75_keys.jsonl.gz")[:each]):
        pairs = ",\n ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in r["ordered_kv_records"])
        prompt = (f"Extract the value corresponding to the specified key in the JSON object below.\n\nJSON data:\n{{{pairs}}}\n\n"
                  f"Key: \"{r['key']}\"\nCorresponding value:")
        yield record("KV retrieval", "kv_75", i, prompt, r["value"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    options = parser.parse_args()
    records = [*ruler(options.data, 2), *babilong(options.data, 2), *longbench(options.data, 2), *longeval(options.data, 4),
               *key_values(options.data, 6)]
    options.output.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    print(f"{len(records)} prompts of {len({r['group'] for r in records})} groups in {options.output}")


if __name__ == "__main__":
    main()
