#!/usr/bin/env python3
"""Draws time to first token against prompt length: ttft_chart.py OUT.svg FILE.json...

The files are what ceilings.py, torch_reference.py, hf_prefill.py (--json) and `claa bench -o json` wrote, in any number and
order; a row that comes again replaces the one before. The vertical axis is microseconds a token, as times alone would hide
under the square of the length what is to be seen.
"""
import json
import pathlib
import subprocess
import sys

STYLES = {  # line in the key: colour, dashes
    "transformers, full": ("#7f7f7f", 1), "torch, full": ("#444444", 1), "full": ("#000000", 1),
    "gemfilter 0.1": ("#cc79a7", 1), "specprefill 0.1": ("#e69f00", 1), "fastkv 0.1": ("#56b4e9", 1),
    "torch, claa 0.1": ("#009e73", 2), "claa 0.4": ("#d55e00", 3), "claa 0.2": ("#d55e00", 2), "claa 0.1": ("#d55e00", 1),
    "bare products and attention": ("#999999", 4),
}


def line_of(row):
    if "sum_ms" in row:
        return "bare products and attention", row["sum_ms"]
    name = row["method"] if row["method"] == "full" else f"{row['method']} {float(row['keep']):g}"
    if "peer" in row:
        return f"{row['peer']}, {name}", row["ttft_ms"]
    return name, row["ttft_ms"]["median"]


def main():
    output, lines = sys.argv[1], {}
    for path in sys.argv[2:]:
        for row in json.loads(pathlib.Path(path).read_text()):
            name, ms = line_of(row)
            lines.setdefault(name, {})[row["tokens"]] = 1000 * ms / row["tokens"]
    blocks, plots = [], []
    for number, (name, (colour, dashes)) in enumerate(STYLES.items()):
        if name not in lines:
            continue
        points = "".join(f"{tokens} {value:.4f}\n" for tokens, value in sorted(lines[name].items()))
        blocks.append(f"$line{number} << EOD\n{points}EOD\n")
        plots.append(f"$line{number} using 1:2 with linespoints linewidth 2 pointtype 7 pointsize 0.5 dashtype {dashes} "
                     f"linecolor '{colour}' title '{name}'")
    script = "".join(blocks) + f"""
set terminal svg size 820,600 font 'sans,13' background '#ffffff'
set output '{output}'
set logscale x 2
set xtics ('2k' 2048, '4k' 4096, '8k' 8192, '16k' 16384, '32k' 32768, '64k' 65536, '128k' 131072)
set xlabel 'prompt tokens'
set ylabel 'time to first token, microseconds a token'
set yrange [0:*]
set grid
set xrange [1900:141000]
set key outside bottom center horizontal maxcols 4
plot {", ".join(plots)}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    main()
