#!/usr/bin/env python3
"""Checks that each layer of src/ includes only itself and the layers before it, and public headers."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A folder may use itself and those named here, which stand before it.
ALLOWED = {
    "core": [],
    "text": ["core"],
    "gguf": ["core", "text"],
    "folder": ["core", "text", "gguf"],
    "backend": ["core", "gguf"],
    "template": ["core", "text"],
    "tokenizer": ["core", "text", "gguf"],
    "model": ["core", "gguf", "backend"],
    "kv": ["core", "backend", "model"],
    "prefill": ["core", "backend", "model", "kv"],
    "decode": ["core", "backend", "model", "kv", "prefill"],
    "profile": ["core", "text"],
    "engine": ["core", "text", "gguf", "folder", "backend", "template", "tokenizer", "model", "kv", "prefill", "decode", "profile"],
}
LIBRARY = list(ALLOWED)
# What leaves the program; it uses a JSON library, which the library does without.
ALLOWED["output"] = ["core", "text"]
# The floors of eval: what of eval each may use beside itself.
FLOORS = {
    "stats": [],
    "metrics": [],
    "tasks": ["metrics"],
    "draw": [],
    "study": ["stats", "tasks", "draw"],
    "report": ["stats", "draw", "study"],
    "diagnosis": ["stats", "draw", "study"],
    "calibration": ["stats", "study"],
}
# These work without a model.
WITHOUT_ENGINE = ("stats", "metrics", "tasks", "draw")
for floor, below in FLOORS.items():
    ALLOWED["eval/" + floor] = ["core", "text", "output"] if floor in WITHOUT_ENGINE else LIBRARY + ["output"]
    ALLOWED["eval/" + floor] = ALLOWED["eval/" + floor] + ["eval/" + name for name in below]
ALLOWED["cli"] = LIBRARY + ["output"] + ["eval/" + floor for floor in FLOORS]
# Libraries that only one place may include.
CONFINED = {
    r"(oneapi/)?dnnl": ["backend/cpu/"],
    r"immintrin|x86intrin": ["backend/cpu/"],
    r"omp\.h": ["backend/cpu/omp_threads.cc"],
    r"cuda|cublas|cudnn": ["backend/cuda/"],
    r"pcre2": ["tokenizer/"],
    r"utf8proc": ["text/"],
    r"CLI/": ["cli/"],
    r"boost/": ["output/", "cli/", "eval/"],
}
# The doors: what is written goes through one function of each kind, which makes text from files harmless.
DOORS = {
    # A prompt of a task holds JSON exactly as the data set's authors print it.
    re.compile(r"json::serialize\("): ("json_text() of output/json.h", ["output/json.cc", "eval/tasks/retrieval_tasks.cc"]),
    re.compile(r"std::c(out|err|log)\b|fmt::print\b|\b(f?puts|f?printf|perror)\("): ("cli/terminal.h", []),
    re.compile(r"\bSTD(OUT|ERR)_FILENO\b"): ("cli/terminal.h", ["cli/terminal.cc", "cli/main.cc"]),
}
# Parallel regions are jobs of core/threads.h, which carry an exception to the caller; OpenMP's are behind one helper.
PRAGMA_OMP = re.compile(r"#\s*pragma\s+omp")
# Methods may include only the extension point: no device, no cache, no hidden states.
METHOD_HEADERS = ("claa/", "core/check.h", "core/usize.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


def room(name):
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] == "eval" else parts[0]


def check(path):
    relative = path.relative_to(ROOT / "src").as_posix()
    layer = room(relative)
    if layer not in ALLOWED:
        yield f"src/{relative}: folder '{layer}' is not a layer"
        return
    text = path.read_text()
    if PRAGMA_OMP.search(text) and relative != "backend/cpu/omp_threads.cc":
        yield f"src/{relative}: a parallel region of OpenMP; use core/threads.h"
    for pattern, (door, places) in DOORS.items():
        if pattern.search(text) and relative not in places:
            yield f"src/{relative}: {pattern.search(text)[0]} goes around {door}"
    for kind, name in INCLUDE.findall(text):
        other = room(name)
        if kind == '"' and other != "claa" and other != layer and other not in ALLOWED[layer]:
            yield f"src/{relative}: {layer} may not include {name}"
        if name == "claa/engine.h" and layer.removeprefix("eval/") in WITHOUT_ENGINE:
            yield f"src/{relative}: {layer} works without a model and may not include {name}"
        for pattern, places in CONFINED.items():
            if re.match(pattern, name) and not any(relative.startswith(place) for place in places):
                yield f"src/{relative}: {name} belongs to {', '.join(places)}"
        if relative.startswith("prefill/methods/") and other in ALLOWED and not name.startswith(METHOD_HEADERS):
            yield f"src/{relative}: a method may not include {name}"
        if relative.startswith("backend/") and relative.count("/") > 1:
            device = relative.split("/")[1]
            if re.match(r"backend/(cpu|cuda|reference)/", name) and not name.startswith(f"backend/{device}/"):
                yield f"src/{relative}: one device may not include another's {name}"


def check_public(path):
    for kind, name in INCLUDE.findall(path.read_text()):
        if kind == '"' and not name.startswith("claa/"):
            yield f"include/claa/{path.name}: a public header may not include {name}"
        if kind == "<" and "/" in name:
            yield f"include/claa/{path.name}: a public header uses the standard library alone, not {name}"


def main():
    problems, files = [], 0
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in (".cc", ".h", ".cu", ".cuh"):
            files += 1
            problems += check(path)
    for path in sorted((ROOT / "include" / "claa").glob("*.h*")):
        files += 1
        problems += check_public(path)
    print("\n".join(problems) if problems else f"{files} files keep to the layers")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
