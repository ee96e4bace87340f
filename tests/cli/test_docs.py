"""The documents' commands run, their files exist, and the table of methods is that of the program."""
import json
import os
import re
import shlex
import subprocess

import pytest

from conftest import BIN, MODEL, ROOT, run_claa

DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in
                   [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("models/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def commands(document, language="sh"):
    text = (ROOT / document).read_text()
    for kind, body in FENCE.findall(text):
        if kind == language:
            for line in body.replace("\\\n", " ").splitlines():
                line = line.split("  #")[0].strip()
                if line and not line.startswith("#"):
                    yield line


CLAA_COMMANDS = [(doc, line) for doc in DOCUMENTS if "benchmarks" not in doc for line in commands(doc) if "claa " in line
                 and line.split()[0] in ("claa", "build/cpu/claa")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, passage):
    """The project as the documents see it, with a short document so that the commands take seconds."""
    path = tmp_path_factory.mktemp("project")
    for name in ("models", "examples", "build/cpu"):
        (path / name).mkdir(parents=True)
    (path / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(MODEL.resolve())
    (path / "build/cpu/claa").symlink_to(BIN)
    (path / "examples/document.txt").write_text(passage)
    return path


@pytest.mark.parametrize("document,command", CLAA_COMMANDS)
def test_command_runs(folder, document, command):
    environment = dict(os.environ, PATH=f"{BIN.parent}:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout


def test_readme_has_commands():
    assert sum(document == "README.md" for document, _ in CLAA_COMMANDS) >= 3


@pytest.mark.parametrize("command", [line for line in commands("docs/benchmarks.md") if "claa bench" in line])
def test_benchmark_commands_are_valid(command):
    """They take long, so that only their options are checked: everything is read before the model is opened."""
    # The plug-in of a GPU is opened before the model, and a machine without one has none.
    words = shlex.split(command.replace("--device cuda", "--device cpu"))
    words = words[words.index("bench"):]
    words[words.index("--shape" if "--shape" in words else "-m") + 1] = "no-such-model.gguf"
    done = run_claa(*words)
    assert done.returncode == 2 and b"no-such-model.gguf" in done.stderr


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not re.match(r"[a-z]+:", target):
            assert ((ROOT / document).parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_scripts_exist(document):
    for line in commands(document):
        word = line.split()[0].removeprefix("./")
        if word.startswith(("scripts/", "tools/")):
            assert os.access(ROOT / word, os.X_OK), word


def test_methods_page_agrees_with_the_program():
    text = (ROOT / "docs/methods.md").read_text()
    for method in json.loads(run_claa("methods", "--json").stdout):
        section = re.search(rf"^### {method['name']}\n(.*?)(?=^##|\Z)", text, re.M | re.S)
        assert section, f"docs/methods.md lacks a section on {method['name']}; run tools/make_methods_doc.py"
        for param in method["params"]:
            row = f"| `{param['name']}` | {param['default']} | {param['range'].replace('|', ', ')} | {param['help']} |"
            assert row in section[1], row
