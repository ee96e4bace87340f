"""claa eval: files, resumption to the byte after SIGKILL, shards and their merge, thresholds, refusals.

The task is `agreement` on short prompts: it needs nothing but a text and takes well under a second an example.
"""
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BIN, ROOT, run_claa

TEXT = ROOT / "examples/document.txt"
SAME = ("summary.json", "summary.md", "summary.csv")


def command(model, output, *options, examples=3):
    # One thread: the work of an example is too small to share, and a busy machine slows shared work most. int8: half the
    # time of a decode step.
    return ["eval", "-m", model, "-t", 1, "--dtype", "int8", "--task", "agreement", "--haystack", TEXT, "--lengths", 32, "--examples", examples,
            "--methods", "full,claa", "--keep", "0.1,0.4", "--no-pictures", "-o", output, *options]


def summary_of(folder):
    return [(folder / name).read_bytes() for name in SAME]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("eval") / "whole"
    done = run_claa(*command(model, folder))
    assert done.returncode == 0, done.stderr
    return folder, done


def test_files_hold_the_configuration_and_every_example(whole):
    folder, done = whole
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    head, results = lines[0], lines[1:]
    assert len(results) == 3 * 3 and {r["configuration"] for r in results} == {"full", "claa 0.1", "claa 0.4"}
    for result in results:
        assert result["status"] == "ok" and result["prompt_hash"] and result["ttft_ms"] > 0
        assert result["tokens"] <= 32 and result["output_tokens"] > 0
        assert result["kept_tokens"] <= result["tokens"]
    full = [r for r in results if r["method"] == "full"]
    assert all(r["score"] == 1 and r["metrics"]["kl"] == 0 for r in full)
    assert [r["params"]["keep"] for r in results if r["method"] == "claa"][:2] == ["0.1", "0.4"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["configuration"] == head and head["program"].startswith("claa ")
    assert summary["results"] == summary["expected"] == 9
    cells = {c["configuration"]: c for row in summary["rows"] if row["name"] == "agreement" for c in row["cells"]}
    assert cells["claa 0.1"]["differences"]["full"]["mean"] <= 0
    assert cells["claa 0.1"]["metrics"]["perplexity"]["mean"] > 1
    for name in ("summary.csv", "timing.csv", "summary.md", "timing.md", "timing.json", "report.html"):
        assert head["model_fingerprint"] in (folder / name).read_text(), name
    rows = list(csv.DictReader(line for line in (folder / "summary.csv").read_text().splitlines() if line[0] != "#"))
    assert {row["configuration"] for row in rows} == set(cells) and float(rows[0]["score"]) == 100
    assert not any("ttft" in part.decode() for part in summary_of(folder)), "times are in files of their own"
    assert b"claa 0.4" in done.stdout and b"[9/9]" in done.stderr and b" left]" in done.stderr


def test_killed_ten_times_it_resumes_to_the_same_bytes(tmp_path, model, whole):
    # Times to load, and then to answer, vary with the machine: kills fall between no result and most of them.
    output, seed = tmp_path / "killed", random.Random(20260216)
    results = output / "results.jsonl"
    kills = 0
    while kills < 10:
        before = results.read_text().count("\n") if results.is_file() else 0
        process = subprocess.Popen([str(BIN), *map(str, command(model, output))], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        if seed.random() < .6:  # after the next result, else at any time
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline:
                if results.is_file() and results.read_text().count("\n") > before:
                    break
                time.sleep(.005)
            time.sleep(seed.uniform(0, .1))
        else:
            time.sleep(seed.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    done = run_claa(*command(model, output))
    assert done.returncode == 0, done.stderr
    assert summary_of(output) == summary_of(whole[0])
    assert results.read_text().count("\n") == 10


def test_interrupted_it_keeps_what_is_done(tmp_path, model):
    output = tmp_path / "out"
    process = subprocess.Popen([str(BIN), *map(str, command(model, output, examples=40))], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    results = output / "results.jsonl"
    while time.monotonic() < deadline and (not results.is_file() or results.read_text().count("\n") < 3):
        time.sleep(.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert 3 <= results.read_text().count("\n") < 121
    assert "not complete" in (output / "summary.md").read_text()


def test_another_configuration_is_refused(model, whole, refused):
    folder, _ = whole
    before = (folder / "results.jsonl").read_bytes()
    refused(*command(model, folder, "--set", "window=9"), words=["another configuration", "configurations was"])
    refused(*command(model, folder, "--seeds", "7"), words=["another configuration", "seeds was [42]"])
    assert (folder / "results.jsonl").read_bytes() == before


def test_shards_by_gnu_parallel_merge_to_the_same_bytes(tmp_path, model, whole, refused):
    """As docs/scale-out.md says."""
    assert shutil.which("parallel"), "GNU parallel is not installed: scripts/quickstart.sh"
    line = " ".join(str(word) for word in [BIN, *command(model, tmp_path / "shard_{}"), "--shard", "{}/2"])
    done = subprocess.run(["parallel", "--will-cite", "--jobs", "2", line, ":::", "1", "2"], capture_output=True, timeout=300,
                          env=dict(os.environ, HOME=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    shards = [tmp_path / "shard_1", tmp_path / "shard_2"]
    merged = run_claa("eval", "merge", *shards, "-o", tmp_path / "merged", "--no-pictures")
    assert merged.returncode == 0, merged.stderr
    assert summary_of(tmp_path / "merged") == summary_of(whole[0])
    refused("eval", "merge", shards[1], "-o", tmp_path / "m", words=["missing shards: 1/2"])
    refused("eval", "merge", shards[0], shards[0], "-o", tmp_path / "m", words=["both hold shard 1/2"])
    refused("eval", "merge", *shards, "-o", shards[0], words=["another evaluation"])
    refused("eval", "merge", tmp_path / "none", "-o", tmp_path / "m", words=["none"])


def test_suite_exits_with_1_when_a_threshold_is_missed(tmp_path, model):
    suite = {"tasks": ["agreement"], "haystack": str(TEXT), "lengths": [32], "examples": 1, "methods": ["full", "claa"], "profile": "none",
             "keep": [0.2], "thresholds": [{"configuration": "full", "row": "agreement", "at_least": 100}]}
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(suite))
    options = ["eval", "-m", model, "-t", 1, "--suite", path, "--no-pictures", "-o", tmp_path / "out"]
    done = run_claa(*options)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert b"| full | agreement | score | 100 | 100 |  | passed |" in done.stdout
    suite["thresholds"].append({"configuration": "claa 0.2", "row": "agreement", "metric": "kl", "at_most": 0})
    path.write_text(json.dumps(suite))
    done = run_claa(*options)
    assert done.returncode == 1, "thresholds are no part of the configuration: the results stay"
    assert b"MISSED" in done.stdout


def test_bundled_suites_are_sound(model, tmp_path, refused):
    for path in (ROOT / "suites").glob("*.json"):
        refused("eval", "-m", "no-such-model.gguf", "--suite", path, "--no-pictures", "-o", tmp_path / "out",
                words=["no-such-model.gguf"])


def test_pictures(tmp_path, model):
    done = run_claa("eval", "-m", model, "-t", 1, "--task", "niah", "--lengths", 300, "--examples", 2, "--methods", "full,claa",
                    "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out/report.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "") and page.count("<svg") == 3
    for name in ("score_ttft.png", "needle_00.svg", "needle_01.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0


REFUSALS = [
    (["--task", "magic"], ["magic", "agreement"]),
    (["--task", "agreement", "--methods", "magic"], ["unknown method 'magic'"]),
    (["--task", "agreement", "--keep", "2"], ["keep must be"]),
    (["--task", "agreement", "--set", "windw=3"], ["windw"]),
    (["--task", "agreement", "--set", "x"], ["name=value"]),
    (["--task", "agreement", "--shard", "3/2"], ["PART/PARTS", "3/2"]),
    (["--task", "agreement", "--baseline", "snapkv"], ["snapkv"]),
    (["--task", "agreement", "--sweep", "none.json"], ["none.json"]),
    (["--suite", "none"], ["none"]),
    (["--task", "agreement", "--lengths", "0"], ["lengths"]),
    (["--task", "agreement", "--seeds", "x"], ["seeds"]),
    ([], ["--task"]),
]


@pytest.mark.parametrize("options,words", REFUSALS)
def test_bad_options_are_refused_before_the_model(options, words, refused, tmp_path):
    refused("eval", "-m", "no-such-model.gguf", "--no-pictures", "-o", tmp_path / "out", *options, words=words)


def test_required_options(refused, model, tmp_path):
    refused("eval", "--task", "agreement", "-o", tmp_path / "out", words=["--model"])
    refused("eval", "-m", model, "--task", "agreement", words=["--output"])
    refused("eval", "-m", model, "-t", 1, "--task", "agreement", "--no-pictures", "-o", tmp_path / "out", words=["needs a text"])
