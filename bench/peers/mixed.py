#!/usr/bin/env python3
"""claa beside llama.cpp on one file of K-quants: first token, decoding, memory, and what a start costs.

  python3 tools/make_mixed_model.py --layers 8 build/mixed-8b.gguf
  python3 bench/peers/mixed.py --llama-bench PATH/llama-bench build/mixed-8b.gguf

The programs take turns, and every round turns their order round. A start is the time of a process that computes one token, less the time that this token takes.
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


def claa(options, tokens, decode, methods):
    command = [options.claa, "bench", "-m", options.model, "-p", tokens, "--methods", methods, "--keep", options.keep, "--profile", "none",
               "--dtype", options.dtype, "--weights", options.weights, "-t", options.threads, "-r", 1, "--warmups", 0, "--decode", decode,
               "-o", "json"]
    rows, seconds, memory = run(command)
    for row in rows:
        name = row["method"] + (f" {row['keep']:g}" if row["method"] != "full" else "")
        yield f"claa {options.dtype}, {name}", row["ttft_ms"]["median"], row["decode_ms"], seconds, memory


def llama(options, tokens, decode, _):
    work = ["-p", 0, "-n", decode, "-d", tokens] if decode else ["-p", tokens, "-n", 0]
    command = [options.llama_bench, "-m", options.model, *work, "-r", 1, "-fa", options.flash_attention, "--no-warmup", "-t", options.threads,
               "-o", "json"]
    (row,), seconds, memory = run(command)
    milliseconds = row["avg_ns"] / 1e6
    yield "llama.cpp", milliseconds, milliseconds / max(decode, 1), seconds, memory


def measure(options, tokens, decode, methods):
    """Per program the values of all rounds: ms to the first token, or of all decoded ones; ms per decoded token; the process's
    seconds; MiB."""
    values = {}
    for round_number in range(options.rounds):
        for program in (claa, llama)[:: 1 if round_number % 2 == 0 else -1]:
            for name, *figures in program(options, tokens, decode, methods):
                values.setdefault(name, []).append(figures)
                print(f"{tokens} tokens, round {round_number + 1}: {name} {figures[1 if decode else 0]:.1f} ms", file=sys.stderr, flush=True)
    return values


def print_times(what, values, column):
    peer = statistics.median(row[column] for row in values["llama.cpp"])
    for name, rows in values.items():
        times = [row[column] for row in rows]
        middle = statistics.median(times)
        print(f"| {what} | {name} | {middle:.1f} | {min(times):.1f} | {max(times):.1f} | {peer / middle:.2f} | "
              f"{max(row[3] for row in rows):.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--claa", default=HERE.parents[1] / "build/cpu/claa")
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--tokens", nargs="*", type=int, default=[512, 2048])
    parser.add_argument("--decode-after", nargs="*", type=int, default=[512])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--decode", type=int, default=32)
    parser.add_argument("--dtype", default="int8", help="of claa")
    parser.add_argument("--weights", default="resident", help="of claa")
    parser.add_argument("--methods", default="full,claa", help="of claa")
    parser.add_argument("--keep", default="0.2", help="of claa")
    parser.add_argument("--flash-attention", default=1, help="of llama.cpp")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(f"{options.model.name}, {options.model.stat().st_size / 2**20:.0f} MiB\n")
    print("| | program | ms | min | max | llama.cpp's time divided by this | MiB held |\n|---|---|---:|---:|---:|---:|---:|")
    for tokens in options.tokens:
        print_times(f"first token of {tokens:,}", measure(options, tokens, 0, options.methods), 0)
    for tokens in options.decode_after:
        print_times(f"each token after {tokens:,}", measure(options, tokens, options.decode, "full"), 1)
    for name, rows in measure(options, 1, 0, "full").items():
        print(f"start of {name}: {statistics.median(row[2] - row[0] / 1000 for row in rows):.2f} s")


if __name__ == "__main__":
    main()
