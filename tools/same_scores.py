#!/usr/bin/env python3
"""Does `full` score the same on two generators' prompts? same_scores.py OFFICIAL.jsonl OWN.jsonl...

OFFICIAL and OWN are results of `claa eval` on the same tasks, by task and then as macro average, with the difference (own less
official; the prompts differ, so it is not paired).
"""
import sys

import eval_results


def full_by_task(paths):
    results = [r for path in paths for r in eval_results.read_answers(path)["full"].values()]
    return (eval_results.by_task((r["task"], r["score"]) for r in results),
            eval_results.by_task((r["task"], r["tokens"] / 100) for r in results))


def difference(ours, official):
    return eval_results.macro(ours) - eval_results.macro(official)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    official, official_tokens = full_by_task(sys.argv[1:2])
    own, own_tokens = full_by_task(sys.argv[2:])
    official, own = ({task: scores for task, scores in a.items() if task in b} for a, b in ((official, own), (own, official)))
    print("| task | official: n | tokens | score | own: n | tokens | score | difference |\n|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, tasks in [*((task, [task]) for task in sorted(own)), ("all", sorted(own))]:
        a, b = ({task: scores[task] for task in tasks} for scores in (official, own))
        cells = [name]
        for scores, tokens in ((a, official_tokens), (b, own_tokens)):
            cells += [str(sum(map(len, scores.values()))), f"{eval_results.macro({task: tokens[task] for task in tasks}):,.0f}",
                      eval_results.with_interval(eval_results.macro, scores)]
        print("| " + " | ".join([*cells, eval_results.with_interval(difference, b, a, sign='+')]) + " |")


if __name__ == "__main__":
    main()
