"""Models with sliding windows: methods choose after layers that see the whole prompt, and studies of every layer refuse."""
import json

import pytest

from gguf_file import sharing_model, windowed_model

PROMPT = "one two three four five six seven eight nine ten " * 4


@pytest.fixture(scope="module")
def windowed(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "windowed.gguf"
    path.write_bytes(windowed_model())
    return path


def test_methods_choose_after_a_layer_that_sees_all(claa, windowed):
    for method in ("claa", "fastkv"):
        done = claa("run", "-m", windowed, "-t", 1, "-n", 2, "--method", method, "--keep", "0.3", "--json", PROMPT)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["prefill"]["selection_layer"] == 1


def test_other_layers_are_refused_with_those_that_can(windowed, refused):
    for layer in (0, 2):
        refused("run", "-m", windowed, "-t", 1, "--method", "claa", "--set", f"selection_layer={layer}", PROMPT)
    refused("run", "-m", windowed, "-t", 1, "--method", "claa", "--set", "selection_layer=0", PROMPT,
            words=["layer 0 has a sliding window", "after layers 1"])


def test_studies_of_every_layer_are_refused(windowed, tmp_path, claa):
    (tmp_path / "prompt.txt").write_text(PROMPT)
    for command in ("diagnose", "calibrate"):
        done = claa(command, "-m", windowed, "-t", 1, "--prompts", tmp_path / "prompt.txt", "-o", tmp_path / command)
        assert done.returncode == 2
        assert "sliding window in 2 of its 3 layers" in done.stderr.decode()


def test_the_oracle_ranks_by_the_layers_that_see_all(claa, windowed, tmp_path):
    done = claa("oracle", "-m", windowed, "-t", 1, "-n", 3, "-o", tmp_path / "a.rank", PROMPT)
    assert done.returncode == 0, done.stderr
    ranked = json.loads((tmp_path / "a.rank.json").read_text())
    assert ranked["queries"] == 3 and ranked["top"][0]["score"] > 0


def test_models_of_windows_alone(claa, tmp_path, refused):
    path = tmp_path / "windows.gguf"
    path.write_bytes(windowed_model(every=9))
    done = claa("run", "-m", path, "-t", 1, "-n", 2, "--method", "snapkv", "--keep", "0.3", "--json", PROMPT)
    prefill = json.loads(done.stdout)["prefill"]
    assert not prefill["active"] and prefill["reason"]
    refused("run", "-m", path, "-t", 1, "--method", "claa", PROMPT, words=["no layer of this model but the last"])
    for command in (["run", "--method", "specprefill"], ["oracle", "-o", tmp_path / "a.rank"]):
        done = claa(*command, "-m", path, "-t", 1, PROMPT)
        assert done.returncode == 2 and b"no layer of this model sees the whole prompt" in done.stderr, done.stderr


def test_half_depth_falls_back_to_the_last_layer_before(claa, tmp_path):
    """Of five layers only the first sees all, and half depth is the second."""
    path = tmp_path / "first.gguf"
    path.write_bytes(windowed_model(5, [False, True, True, True, True]))
    done = claa("run", "-m", path, "-t", 1, "-n", 2, "--method", "claa", "--keep", "0.3", "--json", PROMPT)
    assert json.loads(done.stdout)["prefill"]["selection_layer"] == 0


def test_inspect_says_which_layers_have_windows(claa, windowed):
    done = claa("inspect", windowed)
    assert b"2 of 3 layers see the last" in done.stdout, done.stdout
    assert json.loads(claa("inspect", windowed, "--json").stdout)["windowed_layers"] == 2


def test_layers_that_share_keys_and_values(claa, tmp_path, refused):
    """Tokens are dropped before the layers that others read, and only the last row goes on behind them."""
    path = tmp_path / "sharing.gguf"
    path.write_bytes(sharing_model())
    assert b"2 of 5 layers read those of earlier ones" in claa("inspect", path).stdout
    assert json.loads(claa("inspect", path, "--json").stdout)["sharing_layers"] == 2
    done = claa("trace", "-m", path, "-t", 1, "--method", "claa", "--keep", "0.3", PROMPT)
    assert done.returncode == 0, done.stderr
    trace = json.loads(done.stdout)
    assert trace["selection_layer"] == 0 and [layer["live"] for layer in trace["layers"][3:]] == [1, 1]
    assert trace["layers"][4]["cache"] == trace["layers"][2]["cache"]
    refused("run", "-m", path, "-t", 1, "--method", "claa", "--set", "selection_layer=2", PROMPT,
            words=["layer 2 comes after layers whose keys and values later ones read"])
