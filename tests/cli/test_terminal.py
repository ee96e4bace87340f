"""The three standard descriptors, whatever they are: closed, full, a narrow terminal or a dumb one."""
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

import pytest

from conftest import BIN



def on_terminal(command, columns, term):
    """What a command writes to stderr, a terminal of that many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "TERM"} | ({"TERM": term} if term else {})
    process = subprocess.Popen([str(BIN), *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=follower,
                               env=environment)
    os.close(follower)
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # how a terminal ends
        pass
    os.close(leader)
    assert process.wait(timeout=120) == 0, seen
    return seen.decode()


def frames(text):
    """Lines that are erased and written anew."""
    return [frame for frame in text.split("\r\x1b[K")[1:] if frame and not frame.startswith("[full")]


@pytest.mark.parametrize("columns", [200, 40, 20, 4])
def test_progress_fits_the_terminal(model, columns):
    seen = frames(on_terminal(["run", "-m", model, "-t", 1, "-n", 0, "word " * 400], columns, "xterm"))
    assert any("l" in frame for frame in seen)
    assert all(len(frame.split("\n")[0].rstrip("\r")) < columns for frame in seen), seen
    assert (columns < 200) or any(frame.startswith("[#") for frame in seen)


def test_progress_of_a_study_fits_the_terminal(tiny, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"id": "a very long name \x1b[31m of a prompt, 長い名前 " * 4, "prompt": "Where is it?"}) + "\n")
    seen = on_terminal(["diagnose", "-m", tiny, "--prompts", prompts, "-n", 1, "-o", tmp_path / "out", "--no-pictures"], 50, "xterm")
    assert "[0/1] a very long name ?[31m of" in seen
    assert all(len(frame.split("\r\n")[0]) < 50 for frame in frames(seen)), seen


@pytest.mark.parametrize("command", ["run", "diagnose"])
def test_a_dumb_terminal_gets_no_escape_codes(tiny, tmp_path, model, command):
    (tmp_path / "prompt.txt").write_text("Where is it?")
    arguments = {"run": ["run", "-m", model, "-t", 1, "-n", 1, "word " * 400],
                 "diagnose": ["diagnose", "-m", tiny, "--prompts", tmp_path / "prompt.txt", "-n", 1, "-o", tmp_path / "out", "--no-pictures"]}
    seen = on_terminal(arguments[command], 80, "dumb")
    assert "\x1b" not in seen and "layer" not in seen.split("[full")[0]


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-", "0<&-"])
def test_closed_descriptors_do_not_get_into_results(tiny, tmp_path, closed):
    (tmp_path / "prompts.jsonl").write_text('{"id": "a", "prompt": "Where is it?"}\n{"id": "b", "prompt": "Who is it?"}\n')
    command = [str(BIN), "diagnose", "-m", str(tiny), "--prompts", str(tmp_path / "prompts.jsonl"), "-n", "1", "-o", str(tmp_path / "out"),
               "--no-pictures"]
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120)
    assert done.returncode == (2 if "1>" in closed else 0)  # what could not be said is noticed
    lines = (tmp_path / "out/results.jsonl").read_text().splitlines()
    assert len(lines) == 3 and all(isinstance(json.loads(line), dict) for line in lines)
    again = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert again.returncode == 0, again.stderr.decode()


def test_a_closed_descriptor_is_not_the_heat_map(tiny, tmp_path):
    page = tmp_path / "heat.html"
    done = subprocess.run(["sh", "-c", '"$@" 1>&- 2>&-', "sh", BIN, "trace", "-m", tiny, "--predict", "0", "--heatmap", page, "hello"],
                          stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 2
    assert page.read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["eval", "merge", "--help"], ["methods"]])
def test_help_on_a_full_disk(arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BIN, *arguments], stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 2 and done.stderr == b"claa: cannot write to standard output\n"
