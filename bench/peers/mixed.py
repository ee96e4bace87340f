#!/usr/bin/env python3
"""claa beside llama.cpp on one file of K-quants: first token, decoding, memory, and what a start costs.

  python3 tools/make_mixed_model.py --layers 8 build/mixed-8b.gguf
  python3 bench/peers/mixed.py --llama-bench PATH/llama-bench build/mixed-8b.gguf

The programs take turns, and every round turns their order round. llama.cpp decodes from an empty cache, claa after the
prompt. A start is the time of a process that computes one token, less the time that this token takes.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def run(command):
    """What the program prints, its seconds, and the most memory that it held, in MiB."""
    start = time.monotonic()
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return json.loads(output), time.monotonic() - start, usage.ru_maxrss / 1024


def claa(options, tokens, decode):
    command = [options.claa, "bench", "-m", options.model, "-p", tokens, "--methods", options.methods, "--keep", options.keep, "--profile", "none",
               "--dtype", options.dtype, "--weights", options.weights, "-t", options.threads, "-r", 1, "--warmups", 0, "--decode", decode,
               "-o", "json"]
    rows, seconds, memory = run(command)
    for row in rows:
        name = row["method"] + (f" {row['keep']:g}" if row["method"] != "full" else "")
        yield f"claa {options.dtype}, {name}", row["ttft_ms"]["median"], row["decode_ms"] if row["method"] == "full" else None, seconds, memory


def llama(options, tokens, decode):
    command = [options.llama_bench, "-m", options.model, "-p", tokens, "-n", decode, "-r", 1, "-fa", options.flash_attention, "--no-warmup",
               "-t", options.threads, "-o", "json"]
    rows, seconds, memory = run(command)
    prompt = next(row for row in rows if row["n_prompt"])
    answer = next((row for row in rows if row["n_gen"]), None)
    yield "llama.cpp", prompt["avg_ns"] / 1e6, answer["avg_ns"] / 1e6 / decode if answer else None, seconds, memory


def measure(options, tokens, decode):
    """Per program the values of all rounds: first token ms, decode ms, the process's seconds, MiB."""
    values = {}
    for round_number in range(options.rounds):
        for program in (claa, llama)[:: 1 if round_number % 2 == 0 else -1]:
            for name, *figures in program(options, tokens, decode):
                values.setdefault(name, []).append(figures)
                print(f"{tokens} tokens, round {round_number + 1}: {name} {figures[0]:.0f} ms", file=sys.stderr, flush=True)
    return values


def median(rows, column):
    numbers = [row[column] for row in rows if row[column] is not None]
    return statistics.median(numbers) if numbers else None


def shown(value, digits=0):
    return "" if value is None else f"{value:.{digits}f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--claa", default=HERE.parents[1] / "build/cpu/claa")
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--tokens", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--decode", type=int, default=16)
    parser.add_argument("--dtype", default="int8", help="of claa")
    parser.add_argument("--weights", default="resident", help="of claa")
    parser.add_argument("--methods", default="full,claa", help="of claa")
    parser.add_argument("--keep", default="0.2", help="of claa")
    parser.add_argument("--flash-attention", default=1, help="of llama.cpp")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"{options.model.name}, {options.model.stat().st_size / 2**20:.0f} MiB\n")
    print("| tokens | program | TTFT ms | min | max | llama.cpp's time divided by this | decode ms per token | MiB held |\n"
          "|---:|---|---:|---:|---:|---:|---:|---:|")
    for tokens in options.tokens:
        values = measure(options, tokens, options.decode)
        peer = median(values["llama.cpp"], 0)
        for name, rows in values.items():
            times = [row[0] for row in rows]
            print(f"| {tokens:,} | {name} | {median(rows, 0):.0f} | {min(times):.0f} | {max(times):.0f} | {peer / median(rows, 0):.2f} | "
                  f"{shown(median(rows, 1), 1)} | {max(row[3] for row in rows):.0f} |", flush=True)
    options.methods = "full"
    for name, rows in measure(options, 1, 0).items():
        print(f"start of {name}: {statistics.median(row[2] - row[0] / 1000 for row in rows):.2f} s")


if __name__ == "__main__":
    main()
