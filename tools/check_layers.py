#!/usr/bin/env python3
"""Checks that each layer of src/ includes only itself and the layers before it, and public headers."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A folder may use those that stand before it. tokenizer and backend are independent of each other.
ALLOWED = {
    "core": [],
    "gguf": ["core"],
    "tokenizer": ["core", "gguf"],
    "backend": ["core", "gguf"],
    "model": ["core", "gguf", "backend"],
    "kv": ["core", "backend", "model"],
    "prefill": ["core", "backend", "model", "kv"],
    "decode": ["core", "backend", "model", "kv", "prefill"],
    "engine": ["core", "gguf", "tokenizer", "backend", "model", "kv", "prefill", "decode"],
    "eval": ["core", "gguf", "tokenizer", "backend", "model", "kv", "prefill", "decode", "engine"],
    "server": ["core", "gguf", "tokenizer", "backend", "model", "kv", "prefill", "decode", "engine"],
    "cli": ["core", "gguf", "tokenizer", "backend", "model", "kv", "prefill", "decode", "engine", "eval", "server"],
}
# Libraries that only one place may include.
CONFINED = {
    r"(oneapi/)?dnnl": ["backend/cpu/"],
    r"immintrin|x86intrin": ["backend/cpu/"],
    r"cuda|cublas|cudnn": ["backend/cuda/"],
    r"pcre2": ["tokenizer/"],
    r"utf8proc": ["tokenizer/"],
    r"CLI/": ["cli/"],
    r"boost/": ["cli/", "server/", "eval/"],
}
# Methods may include only the extension point: no device, no cache, no hidden states.
METHOD_HEADERS = ("claa/", "core/check.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


def check(path):
    relative = path.relative_to(ROOT / "src").as_posix()
    layer = relative.split("/")[0]
    if layer not in ALLOWED:
        yield f"src/{relative}: folder '{layer}' is not a layer"
        return
    for _, name in INCLUDE.findall(path.read_text()):
        other = name.split("/")[0]
        if other in ALLOWED and "/" in name and other != layer and other not in ALLOWED[layer]:
            yield f"src/{relative}: {layer} may not include {name}"
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
