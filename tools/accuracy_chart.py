#!/usr/bin/env python3
"""Draws the chart of docs/accuracy.md: accuracy_chart.py SUMMARY.json OUT.svg [ROW]

SUMMARY is what `claa eval merge` wrote for the runs of scripts/accuracy.sh. The time axis is a bound: the share of full's
floating-point operations at 8,000 tokens of SmolLM2-135M (1.7 TFLOP in linear layers, 2.2 in causal attention) that are left
when each layer computes only the tokens that live there.
"""
import json
import pathlib
import subprocess
import sys

LINEAR, ATTENTION, LAYERS = 1.7, 2.2, 30
# Line: (name in the chart, layers and the rate that lives there; "k" is the rate to keep).
HALF, LATE = [(15, 1), (15, "k")], [(19, 1), (11, "k")]
LINES = {
    "claa": ("published settings", HALF),
    "fastkv": ("fastkv", HALF),
    "layer 14": ("chosen heads, layer 14", HALF),
    "profile": ("profile: chosen heads, layer 18", LATE),
    "early 10:0.6": ("profile with early drop 10:0.6", [(11, 1), (8, 0.6), (11, "k")]),
}
COLOURS = ("#7f7f7f", "#56b4e9", "#e69f00", "#d55e00", "#0072b2")


def bound(stages, keep):
    live = [(layers, keep if rate == "k" else rate) for layers, rate in stages]
    linear = sum(layers * rate for layers, rate in live) / LAYERS
    attention = sum(layers * rate * rate for layers, rate in live) / LAYERS
    return (LINEAR * linear + ATTENTION * attention) / (LINEAR + ATTENTION)


def main():
    summary, output, row = sys.argv[1], sys.argv[2], (sys.argv[3:] or ["overall"])[0]
    data = json.loads(pathlib.Path(summary).read_text())
    cells = {c["configuration"]: c for r in data["rows"] if r["name"] == row for c in r["cells"]}
    blocks, plots = [], []
    for (line, (name, stages)), colour in zip(LINES.items(), COLOURS):
        points = [(bound(stages, k), cells[f"{line} {k:g}"]["score"]) for k in (0.1, 0.2, 0.4)]
        blocks.append(f"${line.translate(str.maketrans(' :.', '___'))} << EOD\n" + "".join(
            f"{x:.4f} {s['mean']} {s['low']} {s['high']}\n" for x, s in points) + "EOD\n")
        plots.append(f"${line.translate(str.maketrans(' :.', '___'))} using 1:2:3:4 with yerrorlines linewidth 2 "
                     f"linecolor '{colour}' title '{name}'")
    full = cells["full"]["score"]["mean"]
    script = "".join(blocks) + f"""
set terminal svg size 820,460 font 'sans,13' background '#ffffff'
set output '{output}'
set xlabel 'TTFT bound, of full'
set ylabel 'score x 100, 95 % intervals'
set xrange [0.48:0.78]
set yrange [0:48]
set grid
set pointsize 0.7
set key inside right bottom
plot {full} title 'full' dashtype 2 linecolor '#444444', {", ".join(plots)}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    main()
