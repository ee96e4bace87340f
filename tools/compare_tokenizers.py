#!/usr/bin/env python3
"""Compares our token ids with those of the Python package `tokenizers` on whole text files.

    VENV/bin/python tools/compare_tokenizers.py MODEL.gguf FILE... --command "claa tokenize -m {model} -f {file} --ids"

The command must print the ids of the file as plain text (no control tokens recognised); every integer on its standard
output counts. Packages as for make_tokenizer_goldens.py. Ends with status 1 at the first difference.
"""
import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

from make_tokenizer_goldens import Reference


def our_ids(command, model, file):
    words = [word.format(model=model, file=file) for word in shlex.split(command)]
    out = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [int(number) for number in re.findall(r"\d+", out)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--command", default="claa tokenize -m {model} -f {file} --ids")
    args = parser.parse_args()
    reference = Reference(args.model)
    size = count = 0
    for file in args.files:
        data = file.read_bytes()
        expected = reference.encode(data.decode("utf-8", "replace"))
        got = our_ids(args.command, args.model, file)
        if got != expected:
            first = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
            tail = reference.plain.decode(expected[max(0, first - 8):first + 4])
            sys.exit(f"{file}: {len(got)} ids, expected {len(expected)}; first difference at {first}, near {tail!r}: "
                     f"{got[first:first + 6]} instead of {expected[first:first + 6]}")
        size += len(data)
        count += len(got)
    print(f"{len(args.files)} files, {size} bytes, {count} ids: all equal ({reference.kind})")


if __name__ == "__main__":
    main()
