#!/usr/bin/env python3
"""How well a ranking's signals foretell that selection changes the answer: gate_roc.py RESULTS.jsonl CONFIGURATION [--full full]

RESULTS is what `claa eval` wrote, with the configuration (its label, as "claa 0.2") and `full` on the same examples. Two events
are foretold: the answer is worse than full's, and its text is another. For each signal the area under the ROC curve, with a
95 % interval by bootstrap over examples (0.5: knows nothing; below: points the other way). "lost answer" is the worse answer
among the examples that full scores on, which alone can be lost; a gate does not know which these are. Then what the gate is worth: at each
least confidence the share of examples that full answers instead, and the score; beside it the score if as many were taken at
random.
"""
import argparse
import random

import eval_results

# From a result's signals, a value that is high where trouble is likely.
SIGNALS = {"outside": 1, "entropy": 1, "agreement": -1, "confidence": -1}
RESAMPLES = 2000


def area(values, events):
    """Area under the ROC curve: the chance that an event has the higher value than a non-event, ties by half; None without both."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks, at = [0.0] * len(values), 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for i in order[at:end]:
            ranks[i] = (at + end + 1) / 2
        at = end
    positive = sum(events)
    negative = len(events) - positive
    if positive == 0 or negative == 0:
        return None
    return (sum(r for r, e in zip(ranks, events) if e) - positive * (positive + 1) / 2) / (positive * negative)


def interval(values, events, seed=1):
    drawn, source = [], random.Random(seed)
    for _ in range(RESAMPLES):
        picks = [source.randrange(len(values)) for _ in values]
        drawn.append(area([values[i] for i in picks], [events[i] for i in picks]))
    drawn = sorted(a for a in drawn if a is not None)
    return drawn[int(0.025 * len(drawn))], drawn[int(0.975 * len(drawn)) - 1]


def read_pairs(path, configuration, full):
    """(result of the configuration, result of full) of every example that both answered."""
    answers = eval_results.read_answers(path)
    missing = [name for name in (configuration, full) if name not in answers]
    if missing:
        raise SystemExit(f"{path} has no answers of '{missing[0]}'; there are {', '.join(sorted(answers))}")
    ours, reference = answers[configuration], answers[full]
    pairs = [(ours[i], reference[i]) for i in sorted(ours.keys() & reference.keys()) if ours[i]["signals"]]
    if not pairs:
        raise SystemExit(f"'{configuration}' has no signals in {path}: is it claa with a profile?")
    return pairs


def roc_table(pairs):
    def worse(pair):
        return pair[0]["score"] < pair[1]["score"]

    right = [pair for pair in pairs if pair[1]["score"] > 0]
    events = {"worse answer": (pairs, [worse(pair) for pair in pairs]),
              "lost answer": (right, [worse(pair) for pair in right]),
              "other text": (pairs, [ours["prediction"] != full["prediction"] for ours, full in pairs])}
    lines = [", ".join(f"{name}: {sum(event)} of {len(asked)}" for name, (asked, event) in events.items()), "",
             "| signal | " + " | ".join(f"AUC, {name}" for name in events) + " |", "|---|" + "---:|" * len(events)]
    for name, sign in SIGNALS.items():
        cells = []
        for asked, event in events.values():
            values = [sign * ours["signals"][name] for ours, _ in asked]
            auc = area(values, event)
            cells.append("-" if auc is None else "{:.2f} [{:.2f}, {:.2f}]".format(auc, *interval(values, event)))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def mean(values):
    return 100 * sum(values) / len(values)


def gate_table(pairs, steps=10):
    """Least confidences that send 0, 1/steps, ... of the examples to full."""
    ordered = sorted(pairs, key=lambda pair: pair[0]["signals"]["confidence"])
    alone, full = mean([o["score"] for o, _ in pairs]), mean([f["score"] for _, f in pairs])
    lines = ["| min_confidence | by full | score | by chance |", "|---:|---:|---:|---:|"]
    for step in range(steps + 1):
        count = len(ordered) * step // steps
        least = ordered[count][0]["signals"]["confidence"] if count < len(ordered) else 1
        gated = [f["score"] for o, f in ordered if o["signals"]["confidence"] < least or count == len(ordered)]
        gated_share = len(gated) / len(pairs)
        rest = [o["score"] for o, _ in ordered[len(gated):]]
        lines.append(f"| {least:.3f} | {100 * gated_share:.0f} % | {mean(gated + rest):.1f} | "
                     f"{gated_share * full + (1 - gated_share) * alone:.1f} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results")
    parser.add_argument("configuration")
    parser.add_argument("--full", default="full", help="label of the answers that count as unchanged")
    options = parser.parse_args()
    pairs = read_pairs(options.results, options.configuration, options.full)
    print("\n".join([*roc_table(pairs), "", *gate_table(pairs)]))


if __name__ == "__main__":
    main()
