"""--weights: prompts have the bits of widened weights in every type, and so has all in f32."""
import json

import pytest

from conftest import run_claa


def traced(model, *arguments):
    done = run_claa("trace", "-m", model, "--device", "cpu", "-t", 1, *arguments, "The capital of France is")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
def test_prompts_have_the_same_bits(model, dtype):
    forms = [traced(model, "--dtype", dtype, "--weights", form, "--predict", 6) for form in ("widened", "resident")]
    widened, resident = forms
    assert "resident" in resident["device"] and "resident" not in widened["device"]
    assert resident["logits_top"] == widened["logits_top"] and len(resident["continuation"]) == 6
    if dtype == "f32":
        assert resident["continuation"] == widened["continuation"]


def test_auto_changes_no_bit(model):
    assert "resident" in traced(model, "--dtype", "f32", "--predict", 0)["device"]
    assert "resident" not in traced(model, "--dtype", "bf16", "--predict", 0)["device"]


def test_a_draft_model_stays_resident_too(model):
    look_ahead = ["--dtype", "f32", "--method", "specprefill", "--keep", "0.5", "--draft", model, "--predict", 3]
    forms = [traced(model, *look_ahead, "--weights", form) for form in ("widened", "resident")]
    for field in ("selected", "logits_top", "continuation"):
        assert forms[0][field] == forms[1][field]


@pytest.mark.parametrize("arguments, words", [
    (["--weights", "mapped"], ["mapped", "auto, resident or widened"]),
    (["--weights", "resident", "--device", "reference"], ["resident", "cpu", "reference"]),
])
def test_a_form_that_there_is_not(refused, model, arguments, words):
    refused("run", "-m", model, *arguments, "hello", words=words)


def test_what_has_no_file_has_no_resident_form(refused, model):
    refused("inspect", model, "--weights", "mapped", words=["mapped"])
    refused("inspect", "--shape", "llama-3.1-8b", "--weights", "resident", words=["file"])
    refused("bench", "--shape", "smollm2-135m", "--weights", "resident", words=["shape"])
