"""claa oracle and claa diagnose: files, resumption, refusals."""
import json
import signal
import subprocess
import time

import pytest

from conftest import BIN, run_claa

QUESTION = "What is this text about? Answer in one sentence."


@pytest.fixture(scope="module")
def ranking(tmp_path_factory, model, passage):
    folder = tmp_path_factory.mktemp("oracle")
    (folder / "document.txt").write_text(passage)
    done = run_claa("oracle", "-m", model, "-f", folder / "document.txt", "-n", 8, "-o", folder / "a.rank", QUESTION)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_oracle_writes_ranking_and_json(ranking):
    folder, done = ranking
    facts = json.loads((folder / "a.rank.json").read_text())
    assert facts["answer"].strip() == done.stdout.decode().strip() != ""
    assert facts["queries"] == len(facts["answer_tokens"]) == 8
    assert len((folder / "a.rank").read_bytes()) == 40 + 8 * facts["prompt_tokens"]
    scores = [entry["score"] for entry in facts["top"]]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0
    assert b"ranked by 8 answer positions" in done.stderr


def test_ranking_is_used_and_bound_to_its_prompt(ranking, model, refused):
    folder, _ = ranking
    use = ["--method", "oracle", "--keep", "0.2", "--set", f"ranking={folder / 'a.rank'}"]
    done = run_claa("run", "-m", model, "-f", folder / "document.txt", "-n", 4, "--json", *use, QUESTION)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prefill"]["active"] is True
    refused("run", "-m", model, "-f", folder / "document.txt", *use, QUESTION + " Now.", words=["another prompt"])
    damaged = folder / "damaged.rank"
    damaged.write_bytes((folder / "a.rank").read_bytes()[:-3])
    refused("run", "-m", model, "-f", folder / "document.txt", "--method", "oracle", "--set", f"ranking={damaged}", QUESTION,
            words=["damaged.rank", "not a usable ranking file"])
    refused("run", "-m", model, "--method", "oracle", "--set", "ranking=none.rank", "hello", words=["none.rank"])


def test_gold_answer_is_fed_whole(tmp_path, model):
    done = run_claa("oracle", "-m", model, "--gold", "Paris.", "-o", tmp_path / "g.rank", "The capital of France is which city?")
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "g.rank.json").read_text())
    assert facts["answer"] == "Paris." and facts["answer_is"] == "gold"
    assert facts["queries"] == len(facts["answer_tokens"]) + 1


def test_oracle_refuses(refused, model, tmp_path):
    refused("oracle", "-m", model, "-o", tmp_path / "no/such/folder/a.rank", "hello", words=["cannot write"])
    refused("oracle", "-m", model, "hello", words=["--output"])
    refused("oracle", "-m", model, "-o", tmp_path / "a.rank", stdin=b"", words=["the prompt is empty"])


def write_prompts(path, texts):
    path.write_text("".join(json.dumps({"id": f"p{i}", "group": "g" if i % 2 else "h", "prompt": text}) + "\n"
                            for i, text in enumerate(texts)))


def diagnose(model, prompts, output, *options):
    return run_claa("diagnose", "-m", model, "--prompts", prompts, "-o", output, "-n", 4, *options)


def test_diagnose_reports_and_resumes(tmp_path, model, passage):
    prompts, output = tmp_path / "prompts.jsonl", tmp_path / "out"
    write_prompts(prompts, [passage[:900], passage[900:1700], passage[1700:2600]])
    done = diagnose(model, prompts, output)
    assert done.returncode == 0, done.stderr
    results = (output / "results.jsonl").read_text().splitlines()
    assert len(results) == 4
    curves = {c["name"]: c for c in json.loads(results[1])["heuristics"]}
    assert set(curves) == {"fastkv", "gemfilter", "claa_deployed", "claa_analysis", "sum", "rank_sum", "specprefill"}
    assert all(-1 <= value <= 1 for value in curves["fastkv"]["spearman"]) and len(curves["fastkv"]["spearman"]) == 30
    assert curves["claa_analysis"]["spearman"][:3] == [None] * 3
    for name in ("report.html", "summary.json", "curves.csv", "prompts.csv", "spearman_all.png", "head_recall.svg"):
        assert (output / name).stat().st_size > 0
    page = (output / "report.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "") and "model_fingerprint" in page

    # A run that was killed while it wrote: the broken line goes, the rest stays, what is missing is done again.
    (output / "results.jsonl").write_text("\n".join(results[:3]) + "\n" + results[3][:40])
    again = diagnose(model, prompts, output, "--no-pictures")
    assert again.returncode == 0, again.stderr
    assert b"[2/3" in again.stderr and b"p2" in again.stderr and b"p0" not in again.stderr
    assert (output / "results.jsonl").read_text().splitlines() == results


def test_diagnose_refuses_another_configuration(tmp_path, model, passage, refused):
    prompts, output = tmp_path / "prompts.jsonl", tmp_path / "out"
    write_prompts(prompts, [passage[:600]])
    assert diagnose(model, prompts, output, "--no-pictures").returncode == 0
    refused("diagnose", "-m", model, "--prompts", prompts, "-o", output, "-n", 5, words=["answer_tokens was", "another configuration"])


def test_diagnose_refuses_bad_prompts(tmp_path, model, refused):
    lines = {"{}": "field 'prompt' is missing", "[1]": "not a JSON object", '{"prompt": 3}': "must be a string",
             '{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}': "two prompts with the id 'x'", "": "has no prompts"}
    for text, words in lines.items():
        (tmp_path / "bad.jsonl").write_text(text + "\n")
        refused("diagnose", "-m", model, "--prompts", tmp_path / "bad.jsonl", "-o", tmp_path / "out", words=[words])
    refused("diagnose", "-m", model, "--prompts", tmp_path / "none.jsonl", "-o", tmp_path / "out", words=["none.jsonl"])
    empty = tmp_path / "empty"
    empty.mkdir()
    refused("diagnose", "-m", model, "--prompts", empty, "-o", tmp_path / "out", words=["has no prompts"])


def test_interrupted_diagnose_keeps_what_is_done(tmp_path, model, passage):
    prompts, output = tmp_path / "prompts.jsonl", tmp_path / "out"
    write_prompts(prompts, [passage[:500]] + [passage] * 40)
    process = subprocess.Popen([BIN, "diagnose", "-m", model, "--prompts", prompts, "-o", output, "-n", "4", "--no-pictures"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    results = output / "results.jsonl"
    while time.monotonic() < deadline and (not results.is_file() or results.read_text().count("\n") < 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert 2 <= results.read_text().count("\n") < 42
    assert (output / "report.html").is_file()

