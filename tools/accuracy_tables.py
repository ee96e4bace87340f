#!/usr/bin/env python3
"""Prints the tables of docs/accuracy.md: accuracy_tables.py RESULTS [--bench BENCH.json...] [--data docs/data]

RESULTS is what scripts/accuracy.sh wrote; BENCH is `claa bench -o json`, whose TTFT stand beside the scores. Scores are x 100, with
95 % intervals; differences are from `full`, example by example. --data writes all rows as CSV files, from which the page takes some.
"""
import argparse
import csv
import json
import pathlib

import accuracy_chart

RATES = ("0.1", "0.2", "0.4")
METHODS = [  # name in the tables, configuration of the published runs or of sweeps/accuracy.json without its rate
    ("oracle", "oracle"), ("claa, profile (layer 18)", "profile"), ("claa, profile, early drop 10:0.6", "early 10:0.6"),
    ("claa, profile, look-ahead of 8", "look ahead"), ("claa, profile, all caches cut", "profile, cut caches"),
    ("claa, no profile: layer 18, n 2, W 64, kernel 21", "tuned 18"), ("claa, no profile: layer 10, n 4, W 8, kernel 21", "tuned 10"),
    ("specprefill (drafted by the model itself)", "specprefill"), ("snapkv", "snapkv"), ("fastkv", "fastkv"),
    ("claa, published settings", "claa"), ("gemfilter", "gemfilter"), ("streaming", "streaming"), ("uniform", "uniform")]
QUALITY = {  # the same in sweeps/quality.json
    "profile": "claa, profile", "early 10:0.6": "claa, profile, early drop", "profile, cut caches": "claa, profile, cut caches"}
LATE, HALF = accuracy_chart.LATE, accuracy_chart.HALF
LADDER = [  # step, configuration, layers and what lives there
    ("published settings, layer 14", "claa 0.2", HALF),
    ("kernel 21, W 32, n 1, layer 14", "tuned 14 0.2", HALF),
    ("kernel 21, W 8, n 4, layer 10", "tuned 10 0.2", accuracy_chart.THIRD),
    ("kernel 21, W 64, n 2, layer 18", "tuned 18 0.1", LATE),
    ("the same", "tuned 18 0.2", LATE),
    ("the same", "tuned 18 0.4", LATE),
    ("the same, lower caches whole", "tuned 18, whole caches 0.2", LATE),
    ("chosen heads, layer 10", "layer 10 0.2", accuracy_chart.THIRD),
    ("chosen heads, layer 14", "layer 14 0.2", HALF),
    ("chosen heads, layer 14", "layer 14 0.4", HALF),
    ("chosen heads, layer 18: the profile", "profile 0.1", LATE),
    ("the profile", "profile 0.2", LATE),
    ("the profile", "profile 0.4", LATE),
    ("+ caches of all layers cut", "profile, cut caches 0.2", LATE),
    ("+ caches of all layers cut", "profile, cut caches 0.4", LATE),
    ("+ early drop 10:0.6 with heads of its own", "early 10:0.6 0.1", accuracy_chart.EARLY),
    ("+ early drop 10:0.6", "early 10:0.6 0.2", accuracy_chart.EARLY),
    ("+ early drop 10:0.6", "early 10:0.6 0.4", accuracy_chart.EARLY),
    ("+ early drop 10:0.5", "early 10:0.5 keep=0.2", [(11, 1), (8, 0.5), (11, "k")]),
    ("+ early drop 8:0.6", "early 8:0.6 keep=0.2", [(9, 1), (10, 0.6), (11, "k")]),
    ("+ two early drops, 10:0.6 and 14:0.35", "early 10:0.6 14:0.35 keep=0.2", [(11, 1), (4, 0.6), (4, 0.35), (11, "k")]),
    ("early drop 9:0.6 by the profile's other heads: fails", "early 9:0.6, no heads of its own 0.2", [(10, 1), (9, 0.6), (11, "k")]),
    ("+ look-ahead of 8 tokens", "look ahead 0.1", accuracy_chart.LOOK_AHEAD),
    ("+ look-ahead", "look ahead 0.2", accuracy_chart.LOOK_AHEAD),
    ("+ look-ahead", "look ahead 0.4", accuracy_chart.LOOK_AHEAD),
    ("window of 32 instead of 64", "window 32 keep=0.1", LATE),
    ("window of 32", "window 32 keep=0.2", LATE),
    ("window of 32", "window 32 keep=0.4", LATE),
    ("kinds of prompts of more equal numbers", "balanced groups 0.1", LATE),
    ("equal numbers", "balanced groups 0.2", LATE),
    ("equal numbers", "balanced groups 0.4", LATE)]
MASS = [("full", "full"), ("profile 20 %", "profile 0.2"), ("mass 0.7", "mass mass=0.7"), ("mass 0.75", "mass mass=0.75"),
        ("mass 0.75, early drop 10:0.6", "mass 0.75, early 10:0.6"), ("mass 0.8", "mass mass=0.8"),
        ("mass 0.7, look-ahead of 8", "mass, look ahead mass=0.7")]


class Results:
    """A summary.json: cells by row and configuration; `all` stands for the row over all tasks."""

    def __init__(self, folder):
        self.rows = {}
        for row in json.loads((folder / "summary.json").read_text())["rows"]:
            self.rows[row["name"]] = {cell["configuration"]: cell for cell in row["cells"]}
        self.all = self.rows.get("overall", self.rows.get("agreement"))  # the group of agreement is not a score

    def cell(self, configuration):
        return self.all.get(configuration)

    def of_line(self, line, rate):
        return self.cell(f"{line} {rate}") or self.cell(f"{QUALITY.get(line)} {rate}")


def signed(number):
    return f"{number:+.1f}".replace("-", "−")


def score(cell):
    return "{mean:.1f} [{low:.1f}, {high:.1f}]".format(**cell["score"]) if cell else ""


def difference(cell):
    if not cell or "full" not in cell["differences"]:
        return ""
    d = cell["differences"]["full"]
    return f"{signed(d['mean'])} [{signed(d['low'])}, {signed(d['high'])}]"


def table(title, head, rows):
    print(f"\n### {title}\n\n| " + " | ".join(head) + " |\n|---|" + "---:|" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def by_method(results, show):
    """Rows of METHODS with one cell per rate."""
    for name, line in METHODS:
        cells = [results.of_line(line, rate) for rate in RATES]
        if any(cells):
            yield [name] + [show(cell) for cell in cells]


def times(bench):
    """Rows of methods with TTFT as a share of full's at each rate, from claa bench."""
    rows = json.loads(pathlib.Path(bench).read_text())
    full = next(row["ttft_ms"]["median"] for row in rows if row["method"] == "full")
    methods = {}
    for row in rows:
        if row["method"] != "full":
            methods.setdefault(row["method"], {})[f"{row['keep']:g}"] = row["ttft_ms"]["median"] / full
    return [[name, *(f"{shares[rate]:.2f}" for rate in RATES)] for name, shares in methods.items()]


def ladder(ruler):
    full = ruler.cell("full")["score"]["mean"]
    for step, configuration, stages in LADDER:
        cell = ruler.cell(configuration)
        if cell:
            kept = cell["kept_share"]
            yield [step, configuration.split("=")[-1].split()[-1], f"{cell['score']['mean']:.1f}", difference(cell),
                   f"{100 * cell['score']['mean'] / full:.0f} %", f"{accuracy_chart.bound(stages, kept):.2f}"]


def families(ruler):
    needles = [name for name in ruler.rows if name.startswith("niah")]
    others = [name for name in ruler.rows if name not in needles + ["overall", "ruler"]]

    def mean(tasks, configuration):
        return f"{sum(ruler.rows[task][configuration]['score']['mean'] for task in tasks) / len(tasks):.1f}"

    for tasks, name, left_out in ((needles, "needles", "without needles"), (others, "the others", "needles only")):
        for rate in ("0.1", "0.2"):
            yield [f"{name}, {float(rate):.0%}", mean(tasks, "full"), mean(tasks, f"profile {rate}"), mean(tasks, f"{left_out} keep={rate}")]


def ablations(folder):
    for path in sorted(filter(pathlib.Path.is_dir, folder.glob("ablation_*"))):
        if path.name != "ablation_defaults":
            cells = Results(path).all
            yield [path.name.removeprefix("ablation_"), "; ".join(
                f"{name.removeprefix('claa ').removesuffix(' 0.2')}: {cell['score']['mean']:.1f}" for name, cell in cells.items())]


def next_tokens(agreement):
    for name, line in METHODS:
        for rate in RATES:
            cell = agreement.of_line(line, rate)
            if cell:
                m = cell["metrics"]
                yield [name, rate, f"{m['kl']['mean']:.3f}", f"{100 * m['top1']['mean']:.1f}", f"{100 * m['top5']['mean']:.1f}",
                       "{mean:.2f} [{low:.2f}, {high:.2f}]".format(**m["perplexity"])]


def numbers(estimate):
    return [f"{estimate[part]:.1f}" for part in ("mean", "low", "high")] if estimate else ["", "", ""]


def from_full(cell):
    return numbers(cell["differences"].get("full"))


def csv_by_method(results, differences):
    lines = [("full", "full", "1")] + [(name, line, rate) for name, line in METHODS for rate in RATES]
    for name, line, rate in lines:
        cell = results.cell("full") if line == "full" else results.of_line(line, rate)
        if cell:
            yield [name, rate, *numbers(cell["score"])] + (from_full(cell) if differences else [])


def csv_ladder(ruler):
    full = ruler.cell("full")["score"]["mean"]
    for step, configuration, stages in LADDER:
        cell = ruler.cell(configuration)
        if cell:
            mean = cell["score"]["mean"]
            yield [step, configuration.split("=")[-1].split()[-1], f"{mean:.1f}", *from_full(cell), f"{mean / full:.2f}",
                   f"{accuracy_chart.bound(stages, cell['kept_share']):.2f}"]


def csv_mass(benchmarks):
    for name, configuration in MASS:
        for benchmark, results in benchmarks.items():
            cell = results.cell(configuration)
            if cell:
                yield [name, benchmark, *numbers(cell["score"]), *from_full(cell), f"{cell['kept_share']:.4f}"]


def csv_ablations(folder):
    for path in sorted(filter(pathlib.Path.is_dir, folder.glob("ablation_*"))):
        for name, cell in Results(path).all.items():
            yield [path.name.removeprefix("ablation_"), name.removeprefix("claa ").removesuffix(" 0.2"), f"{cell['score']['mean']:.1f}"]


def write_data(folder, results, benchmarks):
    score_columns = ["score_x100", "low_x100", "high_x100"]
    difference_columns = ["difference_from_full_x100", "difference_low_x100", "difference_high_x100"]
    files = {}
    for name, differences in (("RULER", False), ("BABILong", True), ("LongBench", True), ("needle", False)):
        files[name.lower()] = ["method", "keep_rate", *score_columns] + (difference_columns if differences else []), csv_by_method(
            benchmarks[name], differences)
    files["ladder"] = ["step", "keep_rate", "ruler_score_x100", *difference_columns, "share_of_full", "ttft_bound_share"], csv_ladder(
        benchmarks["RULER"])
    files["mass"] = ["budget", "benchmark", *score_columns, *difference_columns, "kept_share"], csv_mass(
        {name: benchmarks[name] for name in ("RULER", "BABILong", "LongBench")})
    files["ablations"] = ["ablation", "setting", "ruler_score_x100"], csv_ablations(results)
    for name, (header, rows) in files.items():
        with open(folder / f"accuracy-{name}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--bench", nargs="*", default=[], help="output of claa bench -o json, with full and all rates")
    parser.add_argument("--data", type=pathlib.Path, help="folder for the CSV files")
    options = parser.parse_args()
    ruler, babilong, longbench, agreement, niah = (
        Results(options.results / name) for name in ("ruler", "babilong", "longbench", "agreement", "niah"))
    if options.data:
        write_data(options.data, options.results, {"RULER": ruler, "BABILong": babilong, "LongBench": longbench, "needle": niah})
    rates = ["10 %", "20 %", "40 %"]
    print(f"full: RULER {score(ruler.cell('full'))}, LongBench {score(longbench.cell('full'))}, BABILong {score(babilong.cell('full'))}, "
          f"niah {score(niah.cell('full'))}")
    table("RULER", ["method", *rates], by_method(ruler, score))
    table("RULER, difference", ["method", *rates], by_method(ruler, difference))
    for bench in options.bench:
        table(f"TTFT of full's, {bench}", ["method", *rates], times(bench))
    table("Ladder", ["step", "keep", "score", "difference", "of `full`", "TTFT bound"], ladder(ruler))
    table("Mass", ["", *(f"{name}{part}" for name in ("RULER", "BABILong", "LongBench") for part in ("", ", difference", ", kept"))],
          [[name] + [text for results in (ruler, babilong, longbench) for cell in [results.cell(configuration)]
                     for text in (score(cell), difference(cell), f"{100 * cell['kept_share']:.1f} %" if cell else "")]
           for name, configuration in MASS])
    table("Families left out", ["tasks", "`full`", "of all", "family left out"], families(ruler))
    for name, results in (("LongBench", longbench), ("BABILong", babilong)):
        table(name, ["method", *rates], by_method(results, lambda cell: f"{score(cell)} ({difference(cell)})" if cell else ""))
    table("Ablations", ["what", "scores"], ablations(options.results))
    table("Next tokens", ["method", "keep", "KL", "top 1", "top 5", "perplexity"], next_tokens(agreement))
    table("Needles at every depth", ["method", *rates], by_method(niah, score))


if __name__ == "__main__":
    main()
