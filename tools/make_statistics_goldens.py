#!/usr/bin/env python3
"""Makes tests/data/eval/statistics.json: rankings, sets, densities and exits with the values that numpy and scipy give.

Scores are rounded to f32 before anything is computed, because the library ranks f32. Long rankings are kept as small
integers (many ties) to keep the file small. Seeded: the same versions give the same bytes.

    python3 -m venv .venv && .venv/bin/pip install numpy==2.4.6 scipy==1.17.1
    .venv/bin/python tools/make_statistics_goldens.py
"""

import argparse
import json
import math
import pathlib
import warnings

import numpy as np
from scipy import stats

SEED = 20260
BANDWIDTH = 0.03


def null_if_nan(value):
    return None if math.isnan(value) else float(value)


def as_numbers(values):
    """The shortest decimal that reads back as the same f32; integers without a point."""
    return [int(v) if float(v).is_integer() and abs(v) < 1e9 else float(str(np.float32(v))) for v in values]


def top(scores, count):
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return sorted(order[:count])


def ranking_case(name, a, b):
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for constant and tiny inputs, which are intended here
        rho = float(stats.spearmanr(a, b).statistic) if len(a) >= 2 else math.nan
    count = -(-len(a) // 10)
    top_a, top_b = top(a, count), top(b, count)
    union = set(top_a) | set(top_b)
    case = {"name": name, "a": as_numbers(a), "b": as_numbers(b), "spearman": null_if_nan(rho), "top_a": top_a,
            "jaccard": len(set(top_a) & set(top_b)) / len(union) if union else None}
    if len(a) <= 300:
        case["ranks_a"] = stats.rankdata(a).tolist()
    return case


def rankings(rng):
    yield ranking_case("empty", [], [])
    yield ranking_case("one", [1], [2])
    yield ranking_case("two up", [1, 2], [3, 5])
    yield ranking_case("two down", [1, 2], [5, 3])
    yield ranking_case("two tied", [1, 1], [5, 3])
    yield ranking_case("constant a", [7] * 12, range(12))
    yield ranking_case("constant b", range(12), [0.1] * 12)
    yield ranking_case("both constant", [1] * 5, [1] * 5)
    yield ranking_case("signed zeros tie", [0.0, -0.0, 1, -1], [1, 2, 3, 4])
    yield ranking_case("infinities", [np.inf, 1, -np.inf, 2, np.inf], [1, 2, 3, 4, 5])
    yield ranking_case("subnormals", [1e-45, 2e-45, 0, 3e-45], [4, 1, 2, 3])
    yield ranking_case("equal", range(20), range(20))
    yield ranking_case("reversed", range(20), range(20, 0, -1))
    for i, size in enumerate([3, 4, 5, 7, 9, 10, 11, 19, 20, 21, 29, 30, 31, 64, 99, 100, 101, 150, 200, 300]):
        a = rng.standard_normal(size)
        yield ranking_case(f"normal {size}", a, a + (0.1 + i / 5) * rng.standard_normal(size))
    for levels in (2, 3, 5, 10, 50):
        for size in (6, 40, 170):
            a = rng.integers(0, levels, size)
            yield ranking_case(f"{levels} levels of {size}", a, np.where(rng.random(size) < 0.5, a, rng.integers(0, levels, size)))
    for skew in (1, 3):
        a = np.round(rng.exponential(1, 250) ** skew, 3)
        yield ranking_case(f"heavy tail {skew}", a, np.round(a * rng.random(250), 3))
    yield ranking_case("mostly zero", [0] * 90 + list(range(10)), list(range(50)) + [0] * 50)
    a = rng.integers(0, 1000, 5000)
    yield ranking_case("long", a, (a + rng.integers(0, 1000, 5000)) // 2)
    a = rng.integers(0, 4, 5000)
    yield ranking_case("long, four levels", a, 3 - a + rng.integers(0, 2, 5000))


def moments(rng):
    for values in ([], [3.5], [1, 2], [math.nan], [math.nan, 2, math.nan, 4, 9], rng.standard_normal(25).round(6).tolist(),
                   (1e6 + rng.standard_normal(9)).round(6).tolist()):
        kept = np.array([v for v in values if not math.isnan(v)])
        yield {"values": [null_if_nan(v) for v in values], "n": len(kept), "mean": float(kept.mean()) if len(kept) else None,
               "standard_error": float(stats.sem(kept)) if len(kept) >= 2 else 0.0}


def densities(rng):
    grid = np.linspace(0, 1, 1000)
    for name, positions in (("two", [0.2, 0.7]), ("ends", [0.0, 0.0, 1.0]), ("even", np.linspace(0, 1, 40)),
                            ("clumped", rng.beta(2, 8, 60)), ("late", 1 - rng.exponential(0.1, 30).clip(0, 1))):
        positions = np.round(np.asarray(positions, float), 6)
        # scipy takes a factor of the standard deviation (n - 1); dividing by that makes the bandwidth absolute.
        density = stats.gaussian_kde(positions, bw_method=BANDWIDTH / positions.std(ddof=1))(grid)
        uniform = np.ones(1000)
        yield {"name": name, "positions": positions.tolist(), "every": 37, "density": density[::37].tolist(),
               "made_to_uniform": float(np.abs(density - uniform).mean())}


def exit_layer(stability):
    """Windows of three correlations; correlation i lies between layers i and i + 1."""
    pairs = stability[1:]
    for i in range(len(pairs) - 2):
        if np.mean(pairs[i:i + 3]) >= 0.99:
            return i + 3
    return len(stability) - 1


def exits(rng):
    cases = [[math.nan], [math.nan, 1.0], [math.nan, 1, 1], [math.nan, 1, 1, 1], [math.nan, .5, 1, 1, 1], [math.nan] + [.98] * 9,
             [math.nan, .9, .98, .995, .996, .9], [math.nan, math.nan, 1, 1, 1, 1], [math.nan, .99, .992, .991, .3],
             [math.nan, .97, 1, 1, .3]]
    cases += [[math.nan] + np.round(1 - 0.05 * np.exp(-np.arange(29) / rng.uniform(3, 9)) * rng.random(29), 5).tolist()
              for _ in range(8)]
    for stability in cases:
        yield {"stability": [null_if_nan(v) for v in stability], "layer": int(exit_layer(stability))}


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=root / "tests/data/eval/statistics.json")
    output = parser.parse_args().output
    rng = np.random.default_rng(SEED)
    data = {"rankings": list(rankings(rng)), "moments": list(moments(rng)), "densities": list(densities(rng)),
            "exits": list(exits(rng))}
    # JSON knows no infinity: 1e999 reads as one.
    text = "{\n" + ",\n".join(
        f'"{key}": [\n' + ",\n".join(json.dumps(case, separators=(",", ":")).replace("Infinity", "1e999") for case in cases) +
        "\n]" for key, cases in data.items()) + "\n}\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    print(f"{output}: {sum(map(len, data.values()))} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
