#!/usr/bin/env python3
"""Is the best setting of a sweep best by merit? best_of_halves.py SWEEP_RESULTS.jsonl... --published RESULTS.jsonl [--label "claa 0.2"]

Takes every configuration of claa in the sweeps' results, finds the best on one half of the examples (macro average over
tasks) and prints what it is worth on the other half, beside the published settings and `full` on the same examples; then
with the halves exchanged. Halves are the examples of even and odd number in each task's file.
"""
import argparse
import sys

import eval_results


def number(result):
    """Number of an example within its file: the end of its id."""
    return int(result["id"].rsplit("/", 1)[1])


def half(results, parity):
    return {index: r for index, r in results.items() if number(r) % 2 == parity}


def scores(results):
    return eval_results.by_task((r["task"], r["score"]) for r in results.values())


def differences(ours, reference):
    """{task: differences x 100}, example by example"""
    return eval_results.by_task((r["task"], r["score"] - reference[index]["score"]) for index, r in ours.items() if index in reference)


def report(candidates, references, parity):
    ranked = sorted(candidates, key=lambda label: -eval_results.macro(scores(half(candidates[label], parity))))
    lines = [f"Chosen on the {('even', 'odd')[parity]} examples, best first:"]
    for label in ranked[:5]:
        lines.append(f"  {eval_results.macro(scores(half(candidates[label], parity))):5.1f}  {label}")
    best = half(candidates[ranked[0]], 1 - parity)
    rank = sorted(candidates, key=lambda label: -eval_results.macro(scores(half(candidates[label], 1 - parity)))).index(ranked[0])
    lines += [f"The first of them on the {('odd', 'even')[parity]} ones (n = {len(best)}): "
              f"{eval_results.with_interval(eval_results.macro, scores(best))}, number {rank + 1} of {len(candidates)} there"]
    for name, results in references.items():
        reference = half(results, 1 - parity)
        lines.append(f"  {name}: {eval_results.with_interval(eval_results.macro, scores(reference))}, difference "
                     f"{eval_results.with_interval(eval_results.macro, differences(best, reference), sign='+')}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+")
    parser.add_argument("--published", required=True, help="results that hold the published settings and full")
    parser.add_argument("--label", default="claa 0.2", help="configuration of the published settings")
    options = parser.parse_args()
    candidates = {}
    for path in options.sweeps:
        candidates.update((label, results) for label, results in eval_results.read_answers(path).items()
                          if next(iter(results.values()))["method"] == "claa")
    answers = eval_results.read_answers(options.published)
    missing = [label for label in (options.label, "full") if label not in answers]
    if missing:
        sys.exit(f"{options.published} has no answers of '{missing[0]}'; there are {', '.join(sorted(answers))}")
    if any(not half(results, parity) for results in candidates.values() for parity in (0, 1)):
        sys.exit("there are no halves: examples of even and of odd number are needed (claa eval --examples 2 or more)")
    references = {label: answers[label] for label in (options.label, "full")}
    print("\n".join([*report(candidates, references, 0), "", *report(candidates, references, 1)]))


if __name__ == "__main__":
    main()
