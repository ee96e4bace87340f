"""The three standard descriptors, whatever they are: closed, full, a narrow terminal or a dumb one."""
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import BIN, read_terminal



def on_terminal(command, columns, term):
    """What a command writes to stderr, a terminal of that many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "TERM"} | ({"TERM": term} if term else {})
    process = subprocess.Popen([str(BIN), *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=follower,
                               env=environment)
    os.close(follower)
    seen = read_terminal(leader)
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
    assert "[0/1] a very long name ␛[31m of" in seen
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
    assert done.returncode == 2 and done.stderr == b"claa: cannot write to standard output: No space left on device\n"


def closed_pipe():
    """The end for writing of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("restore", [True, False])  # Python ignores SIGPIPE and hands it on where it is not told otherwise
def test_the_work_goes_on_without_a_reader_of_diagnostics(tiny, tmp_path, restore):
    (tmp_path / "prompts.jsonl").write_text('{"id": "a", "prompt": "Where is it?"}\n')
    for arguments in (["run", "-m", tiny, "-n", "4", "hello"],
                      ["diagnose", "-m", tiny, "--prompts", tmp_path / "prompts.jsonl", "-n", "1", "-o", tmp_path / "out", "--no-pictures"]):
        stderr = closed_pipe()
        done = subprocess.run([BIN, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, restore_signals=restore,
                              timeout=120)
        os.close(stderr)
        assert done.returncode == 0 and done.stdout.endswith(b"\n")


@pytest.mark.parametrize("arguments", [["methods"], ["--help"], ["run", "-n", "2000000"], ["trace"], ["tokenize"], ["oracle", "-n", "64"]])
def test_the_first_write_without_a_reader_ends_the_work(tiny, tmp_path, arguments):
    """As it ends other programs: by the signal, or where that is ignored with a sentence. Nothing is left behind."""
    if arguments[0] in ("run", "trace", "tokenize", "oracle"):
        arguments = [*arguments, "-m", tiny, "hello"]
    if arguments[0] == "oracle":
        arguments += ["-o", tmp_path / "ranking"]
    for restore, status, said in ((True, -signal.SIGPIPE, b""), (False, 2, b"claa: cannot write to standard output: Broken pipe\n")):
        stdout = closed_pipe()
        done = subprocess.run([BIN, *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, restore_signals=restore,
                              timeout=120)
        os.close(stdout)
        assert done.returncode == status and done.stderr == said
        assert list(tmp_path.iterdir()) == []


def test_a_peer_finds_the_signal_as_it_was(tiny):
    done = subprocess.run([BIN, "bench", "-m", tiny, "-p", "16", "-r", "1", "--warmups", "0", "--decode", "0", "--methods", "full",
                           "--compare", "kill -PIPE $$; echo 1"], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 2 and b"failed" in done.stderr  # it ended by the signal


def test_an_interrupt_while_nobody_reads(tiny, tmp_path):
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    with subprocess.Popen([BIN, "trace", "-m", tiny, "--top", "257", "--predict", "0", "word " * 45], stdin=subprocess.DEVNULL, stdout=writing,
                          stderr=subprocess.PIPE) as process:
        os.close(writing)
        try:
            time.sleep(2)
            assert process.poll() is None, "the output must be longer than the pipe"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130 and process.stderr.read() == b"claa: interrupted\n"
        finally:
            process.kill()
    os.close(reading)
