"""What the program says beside its answers: notes, and counts that are grouped alike."""
import json

from conftest import run_claa


def said(*arguments):
    done = run_claa(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done


def said_json(*arguments):
    return json.loads(said(*arguments).stdout)


def test_the_end_of_the_context_is_said(tiny):
    prompt = "x" * 250
    done = said("run", "-m", tiny, "-t", 1, "-n", 100, prompt)
    note = done.stderr.decode().splitlines()[-1]
    tokens = said_json("run", "-m", tiny, "-t", 1, "-n", 100, prompt, "--json")["output_tokens"]
    assert 0 < tokens < 100
    assert note == f"claa: note: the answer ended after {tokens} tokens because the model's context of 256 is full; shorten the prompt"
    # Not where it ended as it was asked to, and not on standard output.
    for options in (["-n", tokens], ["-n", 0], ["-n", 100, "--json"]):
        assert b"context" not in said("run", "-m", tiny, "-t", 1, prompt, *options).stderr
    assert b"context" not in done.stdout


def test_counts_are_grouped_alike(model, tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps([100 + i % 900 for i in range(2500)]))
    ask = ["run", "-m", model, "--ids", ids, "-n", 1, "--method", "claa", "--profile", "none", "--set", "heads=3.1,9.2", "--set",
           "early_drops=4:0.9", "--keep", 0.5]
    summary = said(*ask).stderr.decode()
    assert "kept 1,250/2,500 tokens" in summary and "2,250 tokens left after layer 4" in summary
    assert said_json(*ask, "--json")["prompt_tokens"] == 2500
    assert "context        8,192 tokens" in said("inspect", model).stdout.decode()
