#!/usr/bin/env python3
"""claa beside llama.cpp and OpenVINO GenAI: every program runs once per round; medians and ratios.

  compare.py --model M.gguf --llama-bench PATH --llama-models Q4_0.gguf Q8_0.gguf BF16.gguf --openvino-python PATH
             [--tokens 512 2048 8000] [--rounds 3] [--dtypes bf16 int8] [--early LAYER:RATE] [--chart OUT.svg] [--prefix CMD]

--prefix runs every command under another one (such as `nice -n -20`), so that a busy machine disturbs all alike less.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys

WARM_UP = 256  # tokens
HERE = pathlib.Path(__file__).resolve().parent


def output(prefix, command):
    done = subprocess.run([*prefix, *map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def claa(options, prefix, tokens):
    # Like the other peers it answers a short prompt before it is timed.
    variants = [("", ["--methods", options.methods])]
    if options.early:
        variants.append((", early drop", ["--methods", "claa", "--set", f"early_drops={options.early}"]))
    for dtype in options.dtypes:
        for suffix, arguments in variants:
            command = [options.claa, "bench", "-m", options.model, "-p", f"{WARM_UP},{tokens}", *arguments, "--keep", options.keep,
                       "--dtype", dtype, "--threads", options.threads, "-r", 1, "--warmups", 0, "--decode", 0, "-o", "json"]
            for row in json.loads(output(prefix, command)):
                if row["tokens"] == WARM_UP:
                    continue
                name = f"claa {dtype}: {row['method']}" + (f" {row['keep']:g}{suffix}" if row["method"] != "full" else "")
                yield name, row["ttft_ms"]["median"], row


def llama(options, prefix, tokens):
    for model in options.llama_models:
        command = [options.llama_bench, "-m", model, "-p", tokens, "-n", 0, "-r", 1, "-fa", 1, "--no-warmup", "-t", options.threads, "-o", "json"]
        row = json.loads(output(prefix, command))[0]
        yield f"llama.cpp {pathlib.Path(model).stem}", row["avg_ns"] / 1e6, row


def openvino(options, prefix, tokens):
    for attention in ("dense", "xattention"):
        command = [options.openvino_python, HERE / "openvino_prefill.py", options.model, tokens, 1, attention]
        row = json.loads(output(prefix, command).splitlines()[-1])
        yield f"OpenVINO GenAI {row['version'].split('-')[0]}, {attention}", row["ttft_ms"][0], row


def measure(options, prefix, tokens):
    times, extra = {}, {}
    for round_number in range(options.rounds):
        for peer in (claa, llama, openvino):
            for name, milliseconds, row in peer(options, prefix, tokens):
                times.setdefault(name, []).append(milliseconds)
                print(f"{tokens} tokens, round {round_number + 1}: {name} {milliseconds:.0f} ms", file=sys.stderr, flush=True)
                if "peak_bytes" in row:
                    extra.setdefault(name, []).append((row["select_ms"], row["peak_bytes"]))
    return times, extra


def print_table(tokens, times, extra):
    openvino = statistics.median(next(v for k, v in times.items() if k.endswith("dense")))
    best = min(statistics.median(v) for k, v in times.items() if k.startswith("llama.cpp"))
    print(f"\n### {tokens:,} tokens\n")
    print("| | TTFT ms (median) | min | max | of OpenVINO, dense | of llama.cpp's best | select ms | peak MiB |\n|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, values in times.items():
        median = statistics.median(values)
        select = peak = ""
        if name in extra:
            select = f"{statistics.median(s for s, _ in extra[name]):.1f}"
            peak = f"{max(p for _, p in extra[name]) / 2**20:.0f}"
        print(f"| {name} | {median:.0f} | {min(values):.0f} | {max(values):.0f} | {median / openvino:.2f} | {median / best:.2f} | {select} | {peak} |",
              flush=True)


COLOURS = ("#d55e00", "#0072b2", "#009e73")  # for the types of claa, in their order


def draw(path, medians, dtypes, keep):
    """Tokens per second against prompt length, one line per program; of claa with a budget only the rate `keep`."""
    blocks, lines = "", []
    for name in dict.fromkeys(name for _, times in medians for name in times):
        if name.startswith("claa") and not name.endswith("full") and f" {keep}" not in name:
            continue
        colour = "#888888"
        if name.startswith("claa"):
            colour = COLOURS[dtypes.index(name.split()[1].rstrip(":")) % len(COLOURS)]
        dash = 2 if "early drop" in name or "xattention" in name or "llama" in name else 1
        point = 6 if "full" in name else 1 if "llama" in name else 7 if "claa" in name else 4
        number = len(lines)
        blocks += f"$line{number} << EOD\n" + "".join(
            f"{tokens} {1000 * tokens / times[name]:.1f}\n" for tokens, times in medians if name in times) + "EOD\n"
        lines.append(f"$line{number} using 1:2 with linespoints linewidth 2 pointtype {point} dashtype {dash} "
                     f"linecolor '{colour}' title '{name}'")
    script = f"""{blocks}set terminal svg size 900,460 font 'sans,13' background '#ffffff' noenhanced
set output '{path}'
set logscale x 2
set xtics ({", ".join(f"'{tokens:,}' {tokens}" for tokens, _ in medians)})
set xlabel 'prompt tokens'
set ylabel 'tokens a second to the first token'
set yrange [0:*]
set grid
set key outside right top vertical Left reverse
plot {", ".join(lines)}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claa", default=HERE.parents[1] / "build/cpu/claa")
    parser.add_argument("--model", required=True)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--llama-models", nargs="+", required=True)
    parser.add_argument("--openvino-python", required=True, help="Python with the package openvino-genai")
    parser.add_argument("--tokens", nargs="+", type=int, default=[512, 2048, 8000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtypes", nargs="+", default=["auto"], help="of claa")
    parser.add_argument("--methods", default="full,claa", help="of claa")
    parser.add_argument("--keep", default="0.1,0.2", help="of claa")
    parser.add_argument("--early", help="early drop of claa, LAYER:RATE, in separate rows; needs a profile with one")
    parser.add_argument("--chart", help="SVG of tokens per second against prompt length; needs gnuplot")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefix", default="")
    options = parser.parse_args()
    medians = []
    for tokens in options.tokens:
        times, extra = measure(options, shlex.split(options.prefix), tokens)
        print_table(tokens, times, extra)
        medians.append((tokens, {name: statistics.median(values) for name, values in times.items()}))
    if options.chart:
        draw(options.chart, medians, options.dtypes, options.keep.split(",")[-1])


if __name__ == "__main__":
    main()
