#!/usr/bin/env python3
"""One configuration against another, of two runs of `claa eval` that asked the same examples, such as two types or two machines:
paired_difference.py OURS.jsonl LABEL THEIRS.jsonl LABEL

Macro averages over tasks with 95 % intervals, their difference example by example, and how many answers are the same text.
"""
import sys

import eval_results


def answers(path, label):
    found = eval_results.read_answers(path)
    if label not in found:
        sys.exit(f"{path} has no answers of '{label}'; there are {', '.join(sorted(found))}")
    return {result["id"]: result for result in found[label].values()}


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    ours, theirs = answers(*sys.argv[1:3]), answers(*sys.argv[3:5])
    both = [(ours[name], theirs[name]) for name in ours if name in theirs]
    if not both or any(a["prompt_hash"] != b["prompt_hash"] for a, b in both):
        sys.exit("the two runs did not ask the same prompts")
    for name, results in (("ours", [a for a, _ in both]), ("theirs", [b for _, b in both])):
        print(f"{name}: {eval_results.with_interval(eval_results.macro, eval_results.by_task((r['task'], r['score']) for r in results))}")
    differences = eval_results.by_task((a["task"], a["score"] - b["score"]) for a, b in both)
    same = sum(a["prediction"] == b["prediction"] for a, b in both)
    print(f"difference: {eval_results.with_interval(eval_results.macro, differences, sign='+')}, n = {len(both)}, the same text in {same}")


if __name__ == "__main__":
    main()
