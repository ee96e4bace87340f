"""Fixtures of the command line tests: the program, the model, and ways to run them.

CLAA_BIN and CLAA_MODEL name other files than build/cpu/claa and models/SmolLM2-135M-Instruct.Q4_1.gguf.
"""
import os
import pathlib
import subprocess

import pytest

from gguf_file import byte_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("CLAA_BIN", ROOT / "build/cpu/claa")).resolve()
MODEL = pathlib.Path(os.environ.get("CLAA_MODEL", ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf"))


def run_claa(*arguments, stdin=b"", timeout=300, **options):
    data = stdin.encode() if isinstance(stdin, str) else stdin
    return subprocess.run([str(BIN), *map(str, arguments)], input=data, capture_output=True, timeout=timeout, **options)


def read_terminal(leader):
    """All that is written to the other side of a pseudo-terminal, which is then closed."""
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # how a terminal ends
        pass
    os.close(leader)
    return seen


@pytest.fixture(scope="session", autouse=True)
def programs_exist():
    assert BIN.is_file(), f"{BIN} is not built: scripts/quickstart.sh --build-only"
    assert MODEL.is_file(), f"{MODEL} is missing: scripts/quickstart.sh --build-only"


@pytest.fixture(scope="session")
def claa():
    return run_claa


@pytest.fixture(scope="session")
def model():
    return MODEL


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A model that loads at once: a token for every byte, and a context of 256 of them."""
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    path.write_bytes(byte_model())
    return path


@pytest.fixture(scope="session")
def refused():
    """Runs a command that must be refused: one sentence on stderr, nothing on stdout, exit code 2."""

    def check(*arguments, words=(), **options):
        done = run_claa(*arguments, **options)
        message = done.stderr.decode("utf-8")
        assert done.returncode == 2, (done.returncode, message)
        assert done.stdout == b""
        assert message.startswith("claa: ") and message.endswith("\n"), message
        assert message.count("\n") == 1, message
        for word in words:
            assert str(word) in message, (word, message)
        return message

    return check


@pytest.fixture(scope="session")
def passage():
    """About 700 tokens of the bundled document."""
    return (ROOT / "examples/document.txt").read_text()[:3000]
