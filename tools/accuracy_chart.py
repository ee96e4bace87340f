#!/usr/bin/env python3
"""Draws the chart of docs/accuracy.md: accuracy_chart.py OUT.svg SUMMARY.json... [--row ROW]

SUMMARY is what `claa eval merge` wrote for the runs of scripts/accuracy.sh; where several of the same examples have a
configuration, the first one counts. The time axis is a bound: the share of full's
floating-point operations at 8,000 tokens of SmolLM2-135M (1.7 TFLOP in linear layers, 2.2 in causal attention) that are left
when each layer computes only the tokens that live there, which is what the summary says was kept after the selection layer.
A line that lacks a point is left out; without anything to draw the tool refuses.
"""
import argparse
import json
import pathlib
import subprocess
import sys

LINEAR, ATTENTION, LAYERS = 1.7, 2.2, 30
# Layers, and the rate that lives there; "k" stands for the rate that was kept.
THIRD = [(11, 1), (19, "k")]
HALF, LATE, EARLY = [(15, 1), (15, "k")], [(19, 1), (11, "k")], [(11, 1), (8, 0.6), (11, "k")]
LOOK_AHEAD = LATE + [(11, 0.1)]  # the layers after the selection again, for the draft; its few tokens are left out
RATES = ("0.1", "0.2", "0.4")
# Name in the chart, colour, stages, configurations.
LINES = [
    ("published settings", "#7f7f7f", HALF, [f"claa {k}" for k in RATES]),
    ("fastkv", "#56b4e9", HALF, [f"fastkv {k}" for k in RATES]),
    ("claa: kernel 21, W 8, n 4, layer 10", "#bbbb00", THIRD, [f"tuned 10 {k}" for k in RATES]),
    ("claa: kernel 21, W 64, n 2, layer 18, m 19", "#000000", LATE, [f"tuned 18, whole caches {k}" for k in RATES]),
    ("chosen heads, layer 14", "#e69f00", HALF, [f"layer 14 {k}" for k in RATES]),
    ("profile: chosen heads, layer 18", "#d55e00", LATE, [f"profile {k}" for k in RATES]),
    ("+ early drop 10:0.6", "#0072b2", EARLY, [f"early 10:0.6 {k}" for k in RATES]),
    ("+ mass 0.7, 0.75, 0.8", "#009e73", LATE, [f"mass mass={m}" for m in ("0.7", "0.75", "0.8")]),
    ("+ mass 0.75, early drop", "#332288", EARLY, ["mass 0.75, early 10:0.6"]),
    ("+ look-ahead of 8", "#cc79a7", LOOK_AHEAD, [f"look ahead {k}" for k in RATES]),
    ("+ look-ahead of 8, mass 0.7", "#882255", LOOK_AHEAD, ["mass, look ahead mass=0.7"]),
]
QUALITY = {"early 10:0.6 0.2": "fast", "mass mass=0.7": "balanced", "profile 0.4": "faithful"}  # of claa run --quality


def bound(stages, kept):
    """Share of full's operations; attention's part of a layer goes with the square of what lives there."""
    live = [(layers, kept if rate == "k" else rate) for layers, rate in stages]
    linear = sum(layers * rate for layers, rate in live) / LAYERS
    attention = sum(layers * rate * rate for layers, rate in live) / LAYERS
    return (LINEAR * linear + ATTENTION * attention) / (LINEAR + ATTENTION)


def points(cells):
    """[(name, colour, [(bound, cell, configuration)])] of the lines that have all their cells."""
    for name, colour, stages, labels in LINES:
        if all(label in cells for label in labels):
            yield name, colour, [(bound(stages, cells[label]["kept_share"]), cells[label], label) for label in labels]


def script(cells, output):
    blocks, plots, marks = [], [], []
    for number, (name, colour, line) in enumerate(points(cells)):
        rows = "".join(f"{x:.4f} {cell['score']['mean']} {cell['score']['low']} {cell['score']['high']}\n" for x, cell, _ in line)
        blocks.append(f"$line{number} << EOD\n{rows}EOD\n")
        plots.append(f"$line{number} using 1:2:3:4 with yerrorlines linewidth 2 linecolor '{colour}' title '{name}'")
        marks += [(x, cell["score"]["mean"], QUALITY[label]) for x, cell, label in line if label in QUALITY]
    if not plots:
        sys.exit("the summaries have none of the lines that the chart shows; are they of scripts/accuracy.sh?")
    if marks:
        blocks.append("$quality << EOD\n" + "".join(f"{x:.4f} {y} {name}\n" for x, y, name in marks) + "EOD\n")
        plots += ["$quality using 1:2 with points pointtype 6 pointsize 2.4 linewidth 2 linecolor '#000000' title 'claa run --quality'",
                  "$quality using 1:2:3 with labels offset 0,1.6 font ',12' notitle"]
    full = [f"{cells['full']['score']['mean']} title 'full' dashtype 2 linecolor '#444444'"] if "full" in cells else []
    return "".join(blocks) + f"""
set terminal svg size 900,560 font 'sans,13' background '#ffffff'
set output '{output}'
set xlabel 'TTFT bound, of full' offset 0,0.6
set ylabel 'score x 100, 95 % intervals'
set xrange [0.36:0.78]
set yrange [0:50]
set grid
set pointsize 0.7
set key below maxcols 2 font ',11'
plot {", ".join(full + plots)}
"""


def read_cells(summaries, row):
    """{configuration: cell} of one row of summaries of the same examples."""
    cells, examples = {}, set()
    for path in summaries:
        data = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        examples.add(data["configuration"]["examples_fingerprint"])
        for cell in (c for r in data["rows"] if r["name"] == row for c in r["cells"]):
            cells.setdefault(cell["configuration"], cell)
    if len(examples) > 1:
        sys.exit(f"the summaries are of {len(examples)} different sets of examples; give those of one")
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("summaries", nargs="+")
    parser.add_argument("--row", default="overall")
    options = parser.parse_args()
    text = script(read_cells(options.summaries, options.row), options.output)
    subprocess.run(["gnuplot"], input=text, text=True, check=True)


if __name__ == "__main__":
    main()
