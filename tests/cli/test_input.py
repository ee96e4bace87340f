"""What is given on the command line, in files, pipes and on standard input, is used or refused by name."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from conftest import BIN, run_claa

TEXT, QUESTION = "The code is 4711.", "What is the code?"
BOTH = f"{TEXT}\n\n{QUESTION}"


def trace(model, *arguments, **options):
    """The prompt as the model reads it, and what was said on stderr."""
    done = run_claa("trace", "-m", model, "-t", 1, "--dtype", "f32", "--predict", 0, *arguments, **options)
    assert done.returncode == 0, done.stderr.decode()
    return prompt_of(done.stdout), done.stderr.decode()


def prompt_of(out):
    return bytes(json.loads(out)["prompt_tokens"]).decode()


def test_piped_text_is_the_document(tiny):
    assert trace(tiny, QUESTION, stdin=TEXT) == (BOTH, "")
    assert trace(tiny, stdin=BOTH) == (BOTH, "")
    assert trace(tiny, QUESTION, stdin=b"") == (QUESTION, "")


def test_redirected_file_and_socket_are_the_document(tiny, tmp_path):
    (tmp_path / "document.txt").write_text(TEXT)
    command = [str(BIN), "trace", "-m", str(tiny), "-t", "1", "--dtype", "f32", "--predict", "0", QUESTION]
    with open(tmp_path / "document.txt", "rb") as source:
        done = subprocess.run(command, stdin=source, capture_output=True, timeout=60)
    assert prompt_of(done.stdout) == BOTH
    for more in ([], ["-f", "/dev/stdin"]):
        ours, theirs = socket.socketpair()
        with subprocess.Popen([*command, *more], stdin=theirs, stdout=subprocess.PIPE) as process:
            theirs.close()
            ours.sendall(TEXT.encode())
            ours.close()
            assert prompt_of(process.stdout.read()) == BOTH


def test_text_that_is_not_read_is_named(tiny, tmp_path):
    document, ids = tmp_path / "document.txt", tmp_path / "ids"
    document.write_text(TEXT)
    ids.write_text("1 2 3")
    with open(document, "rb") as piped:  # a file, whose text is there at once
        for arguments in (["-f", document, QUESTION], ["--ids", ids]):
            done = subprocess.run([BIN, "trace", "-m", tiny, "--predict", "0", *arguments], stdin=piped, capture_output=True, timeout=60)
            assert done.returncode == 0 and b"text on standard input is not read" in done.stderr
        done = subprocess.run([BIN, "tokenize", "-m", tiny, "--count", "hello"], stdin=piped, capture_output=True, timeout=60)
        assert done.returncode == 0 and b"text on standard input is not read" in done.stderr


@pytest.mark.parametrize("more, what", [(["What is it?"], "prompt"), ([""], "prompt"), (["-f", "no-such-file"], "--file"),
                                        (["--system", "Be brief."], "--system"), (["--answer-prefix", "Yes"], "--answer-prefix")])
@pytest.mark.parametrize("command", ["run", "trace"])
def test_ids_are_the_whole_prompt(tiny, refused, tmp_path, command, more, what):
    ids = tmp_path / "ids"
    ids.write_text("1 2 3")
    refused(command, "-m", tiny, "--ids", ids, *more, words=["--ids gives the whole prompt", what])


def test_two_texts_are_refused(tiny, refused, tmp_path):
    document = tmp_path / "document.txt"
    document.write_text(TEXT)
    refused("tokenize", "-m", tiny, "-f", document, "hello", words=["not both"])
    refused("tokenize", "-m", tiny, "--ids", "--count", "hello", words=["--ids"])
    refused("bench", "-m", tiny, "--random-weights", words=["leave out --random-weights"])


def test_names_that_are_empty_are_no_files(tiny, refused):
    refused("run", "-m", tiny, "-f", "", QUESTION, words=["cannot open ''"])
    refused("run", "-m", tiny, "--ids", "", words=["cannot open ''"])
    refused("tokenize", "-m", tiny, "-f", "", words=["cannot open ''"])


@pytest.mark.parametrize("path", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_document_on_standard_input_by_any_name(tiny, path):
    assert trace(tiny, "-f", path, QUESTION, stdin=TEXT) == (BOTH, "")


def test_documents_and_ids_from_named_pipes(tiny, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for content, arguments, want in ((TEXT, ["-f", pipe, QUESTION], BOTH), ("[1, 2, 3]", ["--ids", pipe], "\1\2\3")):
        # The writer comes late.
        with subprocess.Popen(["sh", "-c", 'sleep 0.5; printf %s "$1" > "$2"', "sh", content, str(pipe)]) as writer:
            assert trace(tiny, *arguments, stdin=b"")[0] == want
        assert writer.returncode == 0


@pytest.mark.parametrize("jsonl", [True, False])
def test_prompts_from_pipes(tiny, tmp_path, jsonl):
    content = '{"id": "a", "prompt": "The code is 4711."}\\n\\n{"prompt": "Is it there?"}\\n' if jsonl else TEXT
    ask = '"$1" diagnose -m "$2" -t 1 -n 1 --no-pictures -o "$3" --prompts'
    for number, more in enumerate((f"<(printf '{content}')", f"- < <(printf '{content}')", f"/dev/stdin < <(printf '{content}')")):
        out = tmp_path / str(number)
        done = subprocess.run(["bash", "-c", f"{ask} {more}", "bash", BIN, tiny, out], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()[1:]]
        if jsonl:
            assert [result["id"] for result in results] == ["a", "3"]
        else:
            assert [result["tokens"] for result in results] == [len(TEXT)]


def test_prompts_from_a_pipe_are_exact(tiny, tmp_path, refused):
    refused("diagnose", "-m", tiny, "--prompts", "-", "-o", tmp_path / "out", stdin="Das Café".encode("latin-1"), words=["standard input", "byte 7"])
    refused("calibrate", "-m", tiny, "--prompts", "-", "-o", tmp_path / "out", stdin=b"%PDF-1.7", words=["standard input", "a PDF document"])


def test_haystack_from_a_pipe_serves_every_task(tiny, tmp_path):
    text = "One sees what is there. " * 20
    for number, source in enumerate((f"<(printf '{text}')", f"- < <(printf '{text}')")):
        out = tmp_path / str(number)
        ask = ['"$1" eval -m "$2" -t 1 --task agreement,agreement_own --lengths 32 --examples 1 --seeds 1,2 --methods full --no-pictures -o "$3"']
        done = subprocess.run(["bash", "-c", f"{ask[0]} --haystack {source}", "bash", BIN, tiny, out], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        assert len((out / "results.jsonl").read_text().splitlines()) == 5


def test_endless_devices_are_refused(tiny, refused):
    refused("tokenize", "-m", tiny, "-f", "/dev/zero", words=["/dev/zero", "is a device"])
    refused("run", "-m", tiny, "-f", "/dev/urandom", QUESTION, words=["/dev/urandom", "is a device"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_byte_order_marks(tiny, tmp_path, encoding):
    document = tmp_path / "document.txt"
    document.write_bytes(TEXT.encode(encoding))
    ids, said = trace(tiny, "-f", document, QUESTION)
    assert ids == BOTH
    assert said == "" if encoding == "utf-8-sig" else f"is {encoding.upper()} text; it was converted" in said
    assert trace(tiny, QUESTION, stdin=TEXT.encode(encoding))[0] == BOTH


@pytest.mark.parametrize("data, what", [
    (b"%PDF-1.7\n% written in ASCII", "a PDF document"), (b"\x1f\x8b\x08\x00" + bytes(range(255, 0, -1)), "a gzip archive"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"), (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "a JPEG picture"),
    (b"PK\x03\x04\x14\0\6\0", "office document"), (bytes(range(256)), "not UTF-8 text"),
    (TEXT.encode("utf-16-le"), "UTF-16 without a byte order mark"), ("Привет, мир".encode("koi8-r"), "not UTF-8 text")])
def test_what_is_no_text_is_refused_by_what_it_is(tiny, refused, tmp_path, data, what):
    document = tmp_path / "document"
    document.write_bytes(data)
    refused("run", "-m", tiny, "-f", document, QUESTION, words=[document, what])
    refused("tokenize", "-m", tiny, stdin=data, words=["standard input", what])
    document = tmp_path / "prompt.txt"
    document.write_bytes(data)
    refused("diagnose", "-m", tiny, "--prompts", document, "-o", tmp_path / "out", words=[document, what])


def test_bytes_that_are_not_utf8_are_named(tiny, refused, tmp_path):
    document = tmp_path / "latin1.txt"
    document.write_bytes("Das Café hat die Nummer 4711.".encode("latin-1"))
    assert "1 places, the first at byte 7," in trace(tiny, "-f", document, QUESTION)[1]
    # A study is repeated from its files, so that these are refused there.
    refused("diagnose", "-m", tiny, "--prompts", document, "-o", tmp_path / "out", words=["latin1.txt", "the first at byte 7"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_jsonl_with_a_byte_order_mark(tiny, tmp_path, encoding):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_bytes('{"id": "a", "prompt": "The code is 4711."}\n'.encode(encoding))
    done = run_claa("diagnose", "-m", tiny, "-t", 1, "--prompts", prompts, "-n", 2, "-o", tmp_path / "out", "--no-pictures")
    assert done.returncode == 0, done.stderr.decode()


def test_json_files_with_a_byte_order_mark(tiny, refused, tmp_path):
    # What is refused is what they say, and not how they begin.
    for option, name in (("--suite", "suite.json"), ("--sweep", "sweep.json")):
        (tmp_path / name).write_bytes(b'\xef\xbb\xbf{"nonsense": 1}')
        refused("eval", "-m", tiny, "-o", tmp_path / "out", "--task", "vt", option, tmp_path / name, words=["unknown field 'nonsense'"])
    (tmp_path / "profile.json").write_bytes(b'\xef\xbb\xbf{"nonsense": 1}')
    refused("run", "-m", tiny, "--method", "claa", "--profile", tmp_path / "profile.json", QUESTION,
            words=["profile.json", "the field 'claa_profile' is missing"])
    data = tmp_path / "data"
    data.mkdir()
    (data / "niah_single_1.jsonl").write_bytes(b"\xef\xbb\xbf" + b'{"input": "", "outputs": ["a"]}\n')
    refused("eval", "-m", tiny, "-o", tmp_path / "out", "--task", "ruler_files", "--data", data, "--methods", "full", "--no-pictures",
            words=["line 1: field 'input' is empty"])


@pytest.mark.parametrize("arguments, status", [(["tokenize", "--count", ""], 0), (["run", ""], 2), (["trace", ""], 2)])
def test_an_empty_argument_does_not_wait_for_a_pipe(tiny, arguments, status):
    with subprocess.Popen([BIN, arguments[0], "-m", tiny, *arguments[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(20) == status  # while the pipe is open
        finally:
            process.kill()
        assert process.stdout.read() == (b"0\n" if status == 0 else b"")


@pytest.mark.parametrize("arguments", [["tokenize", "--count"], ["run", QUESTION], ["run", "-f", "/dev/stdin"]])
@pytest.mark.parametrize("begun", [True, False])
def test_interrupt_while_reading(tiny, arguments, begun):
    with subprocess.Popen([BIN, *arguments, "-m", tiny], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        if begun:
            process.stdin.write(b"the first half of a long doc")
            process.stdin.flush()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        process.wait(20)  # the pipe is still open
        assert process.returncode == 130
        assert process.stdout.read() == b"" and process.stderr.read() == b"claa: interrupted\n"


def test_interrupt_while_a_named_pipe_has_no_writer(tiny, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen([BIN, "run", "-m", tiny, "-f", tmp_path / "pipe"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stdout.read() == b"" and process.stderr.read() == b"claa: interrupted\n"


def test_interrupt_of_a_peer_is_no_failure_of_it(tiny):
    command = [BIN, "bench", "-m", tiny, "-p", "16", "-r", "1", "--warmups", "0", "--decode", "0", "--methods", "full", "--compare", "sleep 20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        time.sleep(2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, said = process.communicate(timeout=15)
    assert process.returncode == 130 and out == b"" and said == b"claa: interrupted\n"


def test_waiting_is_said(tiny):
    with subprocess.Popen([BIN, "tokenize", "-m", tiny, "--count"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert b"waiting for standard input" in process.stderr.readline()
        process.stdin.write(b"hello")
        process.stdin.close()
        assert process.wait(20) == 0 and int(process.stdout.read()) > 0
