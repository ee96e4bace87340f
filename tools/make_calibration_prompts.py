#!/usr/bin/env python3
"""Writes prompts for `claa calibrate` as JSONL: make_calibration_prompts.py DATA OUT.jsonl [--each N] [--sets NAME,...] [--balanced]

DATA is the folder of make_diagnosis_prompts.py, with ruler_generated/4096 too. The first N examples of every task and length are
taken, so that the choice is fixed: what a profile is judged by must come from later ones (claa eval --skip N). Groups are kinds of
task, so that whole kinds can be left out.
"""
import argparse
import json
import pathlib

from make_diagnosis_prompts import babilong, lines, longbench, longeval, record

LENGTHS = ("2048", "4096")


def ruler(data, each):
    for length in LENGTHS:
        for path in sorted((data / "ruler_generated" / length).glob("*.jsonl")):
            for i, r in enumerate(lines(path)[:each]):
                yield record("", f"ruler_{path.stem}", f"{length}-{i}", r["input"], ", ".join(r["outputs"]),
                             r.get("answer_prefix", "").strip())


SETS = {"ruler": ruler, "babilong": babilong, "longbench": longbench, "longeval": longeval}
KINDS = {"ruler_niah": "needles", "ruler_vt": "variables", "ruler_cwe": "words", "ruler_fwe": "words", "ruler_qa": "questions"}


def regrouped(record):
    for prefix, kind in KINDS.items():
        if record["task"].startswith(prefix):
            return {**record, "group": kind}
    return record


def balanced(records, data, each):
    """Two in five of the needles, which are most of RULER, and BABILong at 4k besides."""
    place, kept = {}, []
    for r in records:
        if r["group"] == "needles":
            place[r["task"]] = place.get(r["task"], 0) + 1
            if place[r["task"]] % 5 not in (1, 3):
                continue
        kept.append(r)
    return [*kept, *babilong(data, each, ("4k",))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--each", type=int, default=5, help="examples of every task")
    parser.add_argument("--sets", default="ruler,babilong", help=f"of {', '.join(SETS)}")
    parser.add_argument("--balanced", action="store_true", help="kinds of task of more equal numbers")
    options = parser.parse_args()
    unknown = [name for name in options.sets.split(",") if name not in SETS]
    if unknown:
        parser.error(f"unknown set {unknown[0]}; there are {', '.join(SETS)}")
    records = [regrouped(r) for name in options.sets.split(",") for r in SETS[name](options.data, options.each)]
    if options.balanced:
        records = balanced(records, options.data, options.each)
    options.output.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    print(f"{len(records)} prompts of {len({r['group'] for r in records})} groups in {options.output}")


if __name__ == "__main__":
    main()
