#!/usr/bin/env python3
"""Checks what the formatter does not: length of files and functions, header guards, words that do not belong in a commit.

A function is found by its shape, not by a parser: a line that opens a brace at the indentation of a definition, up to the
line that closes it at the same indentation. That suffices for this code, which clang-format lays out.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
CODE = (".cc", ".h", ".cu", ".cuh", ".py", ".sh")
# Split, so that this file does not find itself.
FORBIDDEN = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK", "lorem " + "ipsum", "std::" + "regex", "using namespace " + "std"]
FUNCTION = re.compile(r"^( *)(?!namespace|template|class|struct|enum|union|extern|\}|//|#)[A-Za-z_].*\{$")
CONTROL = re.compile(r"^ *(if|for|while|switch|else|do|try|catch|return|const .*= *\{|.*= *\{|.*\[.*\].*\{)")


def tracked():
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split("\n")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def signature_start(lines, i):
    """Index of the line where the declaration that opens a brace on line i begins: back to balanced parentheses."""
    balance = 0
    for j in range(i, max(-1, i - 12), -1):
        balance += lines[j].count(")") - lines[j].count("(")
        if balance <= 0 and not lines[j].lstrip().startswith(":"):
            return j
    return i


def long_functions(lines):
    i = 0
    while i < len(lines):
        # The last member initialiser of a constructor is no signature.
        if lines[i].endswith("{") and not (i > 0 and lines[i - 1].endswith(",") and "_(" in lines[i]):
            start = signature_start(lines, i)
            if FUNCTION.match(lines[start] if start == i else lines[start].rstrip() + " {") and "(" in lines[start] \
                    and not CONTROL.match(lines[start]):
                indent = lines[start][:len(lines[start]) - len(lines[start].lstrip())]
                end = next((j for j in range(i, len(lines)) if lines[j].startswith(indent + "}")), i)
                if end - start + 1 > MAX_FUNCTION_LINES:
                    yield start + 1, end - start + 1
                i = max(i, end)
        i += 1


def check(path):
    relative = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")
    if path.suffix in CODE and len(lines) > MAX_FILE_LINES + 1:
        yield f"{relative}: {len(lines) - 1} lines, more than {MAX_FILE_LINES}"
    if path.suffix in (".h", ".cuh") and not path.stem.endswith("_impl") and "#pragma once" not in text:
        yield f"{relative}: no #pragma once"
    if path.suffix in (".cc", ".h", ".cu", ".cuh"):
        for line, length in long_functions(lines):
            yield f"{relative}:{line}: function of {length} lines, more than {MAX_FUNCTION_LINES}"
    if text and not text.endswith("\n"):
        yield f"{relative}: no newline at the end"
    for number, line in enumerate(lines, 1):
        for word in FORBIDDEN:
            if re.search(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", line):
                yield f"{relative}:{number}: '{word}'"
        if line != line.rstrip():
            yield f"{relative}:{number}: blanks at the end of the line"


def main():
    problems, files = [], 0
    for path in tracked():
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith(("tests/data/", "fuzz/corpus/", "LICENSE", "examples/document.txt")):
            continue
        if path.suffix in CODE + (".md", ".txt", ".cmake", ".in", ".json") or path.name == "run":
            files += 1
            problems += check(path)
    print("\n".join(problems) if problems else f"{files} files keep to the style")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
