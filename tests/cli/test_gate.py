"""The gate: a least confidence sends a prompt back to full, says so and computes what full computes; its ROC from results."""
import json
import random
import subprocess
import sys

import pytest

from conftest import ROOT, run_claa

ROC = ROOT / "tools/gate_roc.py"
sys.path.insert(0, str(ROOT / "tools"))
import gate_roc  # noqa: E402


def answer(model, passage, *options):
    done = run_claa("run", "-m", model, "-n", 4, "--method", "claa", "--json", *options, passage)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_gate_is_off_until_asked_for_and_tells_what_it_did(model, passage, refused):
    plain = answer(model, passage)["prefill"]
    assert plain["params"]["min_confidence"] == "0" and plain["active"] and plain["note"] == ""
    assert plain["confidence"] is None
    sure = answer(model, passage, "--set", "min_confidence=1e-9")["prefill"]
    assert 0 < sure["confidence"] < 1 and sure["active"] and sure["note"] == ""
    unsure = answer(model, passage, "--set", "min_confidence=1")
    assert unsure["kept_tokens"] == unsure["prompt_tokens"] and not unsure["prefill"]["active"]
    assert "below min_confidence 1" in unsure["prefill"]["reason"]
    full = json.loads(run_claa("run", "-m", model, "-n", 4, "--json", passage).stdout)
    assert unsure["text"] == full["text"] and full["prefill"]["confidence"] is None
    more = answer(model, passage, "--set", "min_confidence=1", "--set", "unsure_keep=0.5")
    assert more["prefill"]["active"] and more["kept_tokens"] == more["prompt_tokens"] // 2
    assert f"{more['kept_tokens']} tokens kept" in more["prefill"]["note"]
    line = run_claa("run", "-m", model, "-n", 1, "--method", "claa", "--set", "min_confidence=1", "--set", "unsure_keep=0.5", passage).stderr
    assert b"below min_confidence 1" in line
    refused("run", "-m", model, "--method", "claa", "--profile", "none", "--set", "min_confidence=0.5", passage,
            words=["min_confidence needs heads", "profile"])


def test_signals_stand_in_the_results(model, tmp_path):
    sweep = tmp_path / "gate.json"
    sweep.write_text(json.dumps({"configurations": [{"label": "gate", "method": "claa", "params": {"min_confidence": 1e-9}}]}))
    done = run_claa("eval", "-m", model, "-t", 1, "--task", "niah_single_1", "--lengths", 300, "--examples", 1,
                    "--methods", "full,claa", "--keep", 0.2, "--sweep", sweep, "--no-pictures", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr.decode()
    results = {r["configuration"]: r for r in map(json.loads, (tmp_path / "out/results.jsonl").read_text().splitlines()[1:])}
    assert results["full"]["signals"] == {} and results["claa 0.2"]["signals"] == {}
    assert set(results["gate 0.2"]["signals"]) == set(gate_roc.SIGNALS)


def test_area_is_the_chance_of_the_right_order():
    source = random.Random(3)
    for _ in range(20):
        values = [source.randrange(6) for _ in range(30)]
        events = [source.random() < 0.4 for _ in values]
        pairs = [(a, b) for a, e in zip(values, events) if e for b, f in zip(values, events) if not f]
        expected = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs) if pairs else None
        assert gate_roc.area(values, events) == pytest.approx(expected)
    assert gate_roc.area([1, 2], [True, True]) is None


def result(index, configuration, score, confidence):
    signals = {name: 1 - confidence if sign > 0 else confidence for name, sign in gate_roc.SIGNALS.items()} if confidence is not None else {}
    return {"index": index, "configuration": configuration, "status": "ok", "score": score, "prediction": str(score), "signals": signals}


def test_roc_of_results(tmp_path):
    # Selection loses the answer of the four least sure examples of twenty, and those alone.
    lines = [{"header": True}]
    for i in range(20):
        lines += [result(i, "claa 0.2", 0 if i < 4 else 1, 0.3 + 0.02 * i), result(i, "full", 1, None)]
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(*words):
        return subprocess.run([sys.executable, ROC, path, *words], capture_output=True, text=True)

    done = run("claa 0.2")
    assert done.returncode == 0, done.stderr
    assert "worse answer: 4 of 20, lost answer: 4 of 20, other text: 4 of 20" in done.stdout
    for name in gate_roc.SIGNALS:
        assert f"| {name} | 1.00 [1.00, 1.00] |" in done.stdout, done.stdout
    assert "| 0.300 | 0 % | 80.0 | 80.0 |" in done.stdout and "| 0.380 | 20 % | 100.0 | 84.0 |" in done.stdout
    assert "| 1.000 | 100 % | 100.0 | 100.0 |" in done.stdout
    assert "has no answers of 'nobody'" in run("nobody").stderr
    assert "has no signals" in run("full").stderr
