"""Folders as transformers saves them, and split files, as a user meets them."""
import json
import shutil

import pytest

from conftest import ROOT
from gguf_file import gguf, llama

FOLDERS = ROOT / "tests/data/architectures"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(FOLDERS / "llama", tmp_path / "llama")


def change(path, **values):
    settings = json.loads(path.read_text())
    settings.update(values)
    path.write_text(json.dumps(settings))


def test_a_folder_is_a_model(claa, folder):
    done = claa("inspect", folder, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["name"] == "llama" and report["architecture"] == "llama"
    assert report["tensor_types"] == "39 F16, 1 F32"
    assert report["pre_tokenizer"] == "tokenizer.json"
    assert claa("tokenize", "-m", folder / "config.json", "--ids", stdin="abc").stdout == b"[94, 66]\n"
    done = claa("run", "-m", f"{folder}/", "-n", "4", "--method", "claa", "--keep-tokens", "20", "a" * 90 + "b?")
    assert done.returncode == 0, done.stderr
    assert b"kept 20/91 tokens" in done.stderr


def test_a_folder_has_a_profile_beside_it(refused, folder):
    (folder.parent / "llama.profile.json").write_text("{}")
    for name in (folder, f"{folder}/", folder / "config.json"):
        refused("run", "-m", name, "--method", "claa", "hello", words=["llama.profile.json"])


def test_what_is_wrong_with_a_folder(refused, folder):
    def refused_with(*words):
        refused("inspect", folder, words=words)
        refused("run", "-m", folder, "hello", words=words)

    change(folder / "config.json", model_type="mamba2")
    refused_with("config.json", "model_type", "mamba2", "convert the model to GGUF")
    change(folder / "config.json", model_type="llama", hidden_act="relu")
    refused_with("hidden_act", "relu", "silu")
    change(folder / "config.json", hidden_act="silu", num_hidden_layers=3)
    refused_with("blk.3.", "3 layers")
    change(folder / "config.json", num_hidden_layers=4)
    (folder / "model-00002-of-00004.safetensors").unlink()
    refused_with("model-00002-of-00004.safetensors", "No such file")
    (folder / "config.json").write_text("{")
    refused_with("config.json", "not a JSON object")
    (folder / "config.json").unlink()
    refused_with("without config.json")


def test_one_file_of_several(refused, tmp_path):
    split = {"split.no": 1, "split.count": 3, "split.tensors.count": 0}
    second = tmp_path / "m-00002-of-00003.gguf"
    second.write_bytes(gguf(split))
    refused("inspect", second, words=["file 2", "m-00001-of-00003.gguf"])
    first = tmp_path / "m-00001-of-00003.gguf"
    first.write_bytes(gguf({**llama(), **split, "split.no": 0}))
    refused("run", "-m", first, "hello", words=["m-00003-of-00003.gguf", "file 3 of the 3"])
