"""Whatever a model, a template, a profile, a data set or a request says, terminals, JSON, CSV, HTML and pictures stay whole.

Every command and every file that it writes is looked at, with names and texts that hold escape codes, ill-formed UTF-8, markup,
quotes, line ends and formulas.
"""
import csv
import html.parser
import json
import os
import pty
import struct
import subprocess
import xml.etree.ElementTree

import pytest

from conftest import BIN, read_terminal, run_claa
from gguf_file import CONTROL, byte_model, gguf, llama

EVIL = b"=1+1,\"';<evil onload='x'>&|`caf\xe9 \x1b]0;owned\x07\x7f\xc2\x9b31m\xe2\x80\xaedrow\r\n=2+2\tend"
# The same without what JSON files and command lines cannot hold.
TEXT = EVIL.decode("utf-8", "replace")
SHOWN = "=1+1,\"';<evil onload='x'>&|`caf\ufffd ␛]0;owned␇␡\\u{9b}31m\\u{202e}drow␍␊=2+2␉end"


def plain(data, tabs=False):
    """The text of an output that no terminal obeys."""
    text = data.decode("utf-8")  # and nothing else
    bad = [c for c in text if (ord(c) < 0x20 and c != "\n" and not (tabs and c == "\t")) or 0x7F <= ord(c) < 0xA0
           or 0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069]
    assert not bad, (bad, text[:2000])
    return text


def parsed(data):
    """Strict JSON: no NaN, no Infinity, every name once."""

    def refuse(constant):
        raise ValueError(constant)

    def once(pairs):
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    return json.loads(plain(data), parse_constant=refuse, object_pairs_hook=once)


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}


def check_page(data):
    text = plain(data, tabs=True)
    page = Page(text)
    assert "<evil" not in text and not {"evil", "script"} & page.tags and "onload" not in page.attributes
    return text


def check_csv(data):
    text = plain(data, tabs=True)
    for separator in ",;\t":  # as spreadsheets of all countries read it, the comment too
        for row in csv.reader(text.splitlines(keepends=True), delimiter=separator):
            for cell in row:
                assert not cell.lstrip().startswith(("=", "+", "@")), (separator, row)
    rows = list(csv.reader((line for line in text.splitlines(keepends=True) if line[0] != "#"), strict=True))
    assert len(rows) > 1 and {len(row) for row in rows} == {len(rows[0])}, rows
    return rows


def check_folder(folder):
    """Every file that a command wrote, by its ending."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        data = path.read_bytes()
        seen.add(path.suffix)
        if path.suffix == ".json":
            parsed(data)
        elif path.suffix == ".jsonl":
            for line in data.splitlines():
                parsed(line)
        elif path.suffix == ".csv":
            check_csv(data)
        elif path.suffix == ".html":
            check_page(data)
        elif path.suffix == ".svg":
            xml.etree.ElementTree.fromstring(data)
            assert "<evil" not in plain(data, tabs=True)
        elif path.suffix in (".md", ".gp"):
            assert path.suffix == ".gp" or "\n=2" not in plain(data)
            plain(data, tabs=True)
    return seen


def good(*arguments, **options):
    done = run_claa(*arguments, **options)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    plain(done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Names, token texts and template say what they should not. Its file has such a name too."""
    template = b"{# " + EVIL + b" #}{% for m in messages %}" + EVIL + b"{{ m.content }}{% endfor %}"
    path = tmp_path_factory.mktemp("models") / os.fsdecode(EVIL[:40].replace(b"/", b"") + b".gguf")
    names = [(name, CONTROL) for name in (EVIL, EVIL[1:], b"\x1b[2J", b"\xff")]
    path.write_bytes(byte_model(context=1024, extra=names, eos=EVIL, general__name=EVIL, tokenizer__chat_template=template))
    return path


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = tmp_path_factory.mktemp("documents") / "document.txt"
    path.write_bytes(b"The code is 4711. " + EVIL + b" What is the code?")
    return path


ONE = ["-t", 1, "--dtype", "f32"]


def test_inspect(hostile):
    text = plain(good("inspect", hostile))
    assert text.splitlines()[0] == f"name           {SHOWN}"  # in one line, so that it adds none of its own
    assert parsed(good("inspect", hostile, "--json"))["name"] == TEXT


def test_bench(hostile, document, tmp_path):
    ask = ["bench", "-m", hostile, *ONE, "-p", 32, "--methods", "full,claa", "-r", 1, "--warmups", 0, "--decode", 1]
    more = ["-f", document, "--stages", "--trace-file", tmp_path / "trace.json", "--compare", "echo {tokens} # " + TEXT.replace("'", "")
            .replace("\n", " ")]
    assert SHOWN in plain(good(*ask, *more))
    assert parsed(good(*ask, "-o", "json"))[0]["shape"] == TEXT
    assert check_folder(tmp_path) == {".json"}


def test_run(hostile, document):
    ask = ["run", "-m", hostile, *ONE, "-f", document, "--method", "claa", "--keep", 0.5, "-n", 200, "--temperature", 100]
    answer = parsed(good(*ask, "--json"))["text"]
    assert any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in answer), "the model must say what a terminal would obey"
    done = run_claa(*ask)
    assert done.stdout == answer.encode() + b"\n"  # in a pipe: what the model said, to the byte
    plain(done.stderr)


def on_terminal(*command):
    """What a command writes to standard output, a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen([BIN, *map(str, command)], stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE) as process:
        os.close(follower)
        seen = read_terminal(leader)
        plain(process.stderr.read())
        assert process.wait(60) == 0
    return seen.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("command", [["run"], ["oracle", "-o", "ranking"]])
def test_answers_on_a_terminal(hostile, document, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    ask = [*command, "-m", hostile, *ONE, "-f", document, "-n", 200]
    if command == ["run"]:
        ask += ["--temperature", 100]
    else:
        ask += ["--gold", TEXT]
    exact = good_bytes(*ask)
    assert b"\x1b" in exact or b"\x7f" in exact or command == ["run"]
    assert any(byte < 0x20 and byte not in b"\n\t" or byte == 0x7F for byte in exact)
    assert plain(on_terminal(*ask), tabs=True) != exact.decode()


def good_bytes(*arguments):
    done = run_claa(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_trace(hostile, document, tmp_path):
    ask = ["trace", "-m", hostile, *ONE, "-f", document, "--method", "claa", "--keep", 0.5, "--predict", 8]
    trace = parsed(good(*ask, "--scores", "--heatmap", tmp_path / "heat.html"))
    assert trace["model"] == TEXT and len(trace["scores"]) > 50
    assert "&lt;evil onload=&#39;x&#39;&gt;" in (tmp_path / "heat.html").read_text()
    assert check_folder(tmp_path) == {".html"}
    assert f"Model   {SHOWN}\n" in plain(good(*ask, "--heatmap", "-"), tabs=True)


def test_tokenize(hostile):
    lines = plain(good("tokenize", "-m", hostile, stdin=EVIL)).splitlines()
    assert "".join(json.loads(line.split(maxsplit=1)[1]) for line in lines).startswith("=1+1,\"';<evil onload='x'>&|`caf")
    assert parsed(good("tokenize", "-m", hostile, "--ids", stdin=EVIL))


def test_oracle(hostile, document, tmp_path):
    done = run_claa("oracle", "-m", hostile, *ONE, "-f", document, "-n", 4, "-o", tmp_path / "ranking")
    assert done.returncode == 0, done.stderr
    plain(done.stderr)
    assert parsed((tmp_path / "ranking.json").read_bytes())["model"] == TEXT


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    path.write_text("".join(json.dumps({"id": f"{TEXT} {i}", "group": f"{TEXT} {i % 2}", "task": TEXT, "gold": "4711",
                                        "prompt": f"The code is 4711. {TEXT} What is the code? " * 2}) + "\n" for i in range(4)))
    return path


def test_diagnose(hostile, prompts, tmp_path):
    ask = ["diagnose", "-m", hostile, *ONE, "--prompts", prompts, "-n", 4, "-o", tmp_path]
    first = plain(good(*ask))
    assert check_folder(tmp_path) == {".jsonl", ".json", ".csv", ".html", ".svg", ".png", ".gp"}
    assert parsed((tmp_path / "results.jsonl").read_bytes().splitlines()[1])["id"] == f"{TEXT} 0"
    assert plain(good(*ask)) == first  # it continues, and is not another configuration because its name is no text


def test_calibrate(hostile, prompts, tmp_path):
    profile = tmp_path / "p.json"
    ask = ["calibrate", "-m", hostile, *ONE, "--prompts", prompts, "-o", profile, "--window", 8, "--kernel", 1, "--heads", 1, "--layer", 0,
           "--folds", 2]
    text = plain(good(*ask))
    row = [line for line in text.splitlines() if "drow" in line][0]
    assert row.count("\\<evil") == 2 and row.replace("\\|", "").count("|") == 7
    assert {".json", ".jsonl", ".svg"} <= check_folder(tmp_path)
    assert parsed(profile.read_bytes())["model"]["name"] == TEXT
    assert parsed(good("trace", "-m", hostile, *ONE, "--method", "claa", "--profile", profile, "--predict", 0, "hello " * 20))["profile"]


def test_eval(hostile, tmp_path):
    data, out, sweep = tmp_path / "data", tmp_path / "out", tmp_path / "sweep.json"
    data.mkdir()
    (data / "niah_single_1.jsonl").write_text(json.dumps({"input": TEXT + " What is the code?", "outputs": ["4711", TEXT]}) + "\n")
    (data / "vt.jsonl").write_text(json.dumps({"input": "word " * 400, "outputs": ["4711"]}) + "\n")  # does not fit
    sweep.write_text(json.dumps({"configurations": [{"label": "full", "method": "full"}, {"label": TEXT, "method": "claa",
                                                                                         "params": {"keep": 0.5}}]}))
    ask = ["eval", "-m", hostile, *ONE, "--task", "ruler_files", "--data", data, "--sweep", sweep, "--baseline", TEXT, "-o", out]
    text = plain(good(*ask))
    assert "2 of 4 results" not in text and "\\<evil" in text
    assert check_folder(out) == {".jsonl", ".json", ".csv", ".html", ".svg", ".png", ".gp", ".md"}
    rows = check_csv((out / "summary.csv").read_bytes())
    assert any(cell.startswith("'=1+1") for row in rows for cell in row)
    assert any(cell.startswith("difference from =1+1") and cell.endswith(" low") for cell in rows[0])
    merged = tmp_path / "merged"
    plain(good("eval", "merge", out, "-o", merged, "--baseline", TEXT))
    check_folder(merged)
    good(*ask)  # nothing is left to do


def refusal(*arguments, **options):
    done = run_claa(*arguments, **options)
    assert done.returncode == 2 and done.stdout == b"", (done.returncode, done.stderr)
    text = plain(done.stderr)
    assert text.startswith("claa: ") and text.count("\n") == 1 and len(text) < 2000, text
    return text


@pytest.mark.parametrize("key", ["general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre", "llama.rope.scaling.type", "general.type"])
def test_refused_names(tmp_path, key):
    for value in (b"x" + EVIL, b"\x1b" * 100_000):
        file = tmp_path / "m.gguf"
        file.write_bytes(byte_model(**{key.replace(".", "__"): value}))
        assert "␛" in refusal("run", "-m", file, "-n", 1, "hi")


def test_refused_keys_and_tensors(tmp_path):
    file = tmp_path / "m.gguf"
    for model in (gguf(llama() | {EVIL: 1}), gguf(llama(), [(EVIL, [32], 0, b"\0" * 128)]), gguf(llama(), [(b"<evil>", [32], 0, b"\0" * 128)]),
                  byte_model(extra=[("</s>", CONTROL), (EVIL, CONTROL), (EVIL, CONTROL)]), byte_model(tokenizer__ggml__merges=[EVIL]), b"\x1b]0;x\x07" * 10,
                  byte_model(tokenizer__chat_template=b"{{ raise_exception('" + EVIL.replace(b"'", b"") + b"') }}"),
                  byte_model(tokenizer__chat_template=b"{% " + EVIL + b" %}"), byte_model(llama__attention__head_count=EVIL)):
        file.write_bytes(model)
        refusal("run", "-m", file, "-n", 1, "hi")


def test_refusals_are_sentences_however_long_their_cause(tmp_path):
    file = tmp_path / "m.gguf"
    file.write_bytes(byte_model(tokenizer__chat_template=b"{{ raise_exception('" + b"long \x1b" * 100_000 + b"the end') }}"))
    done = run_claa("run", "-m", file, "-n", 1, "hi")
    assert done.returncode == 2 and len(plain(done.stderr)) < 5000 and b"[...]" in done.stderr and b"the end" in done.stderr


def test_refused_files(tiny, tmp_path):
    file = tmp_path / "file.json"
    ask = ["run", "-m", tiny, "--method", "claa", "hello", "--profile", file]
    profile = {"claa_profile": 1, "model": {"name": TEXT, "fingerprint": TEXT}}
    for content in (profile, profile | {"claa_profile": TEXT}, profile | {"claa_profile": TEXT * 10_000}):
        file.write_text(json.dumps(content))
        assert "file.json" in refusal(*ask)
    file.write_text(json.dumps({TEXT: 1}))
    for option in ("--suite", "--sweep"):
        assert "<evil" in refusal("eval", "-m", tiny, "-o", tmp_path / "out", "--task", "vt", option, file)
    lines = tmp_path / "prompts.jsonl"
    lines.write_text(json.dumps({"id": TEXT, "prompt": "x"}) + "\n" + json.dumps({"id": TEXT, "prompt": "x"}) + "\n")
    assert "two prompts with the id" in refusal("diagnose", "-m", tiny, "--prompts", lines, "-o", tmp_path / "out")


def test_refused_results_name_their_file(tiny, prompts, tmp_path):
    out = tmp_path / "out"
    good("diagnose", "-m", tiny, *ONE, "--prompts", prompts, "-n", 1, "-o", out, "--no-pictures")
    log = out / "results.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], json.dumps({"id": TEXT})]) + "\n")
    text = refusal("diagnose", "-m", tiny, *ONE, "--prompts", prompts, "-n", 1, "-o", out, "--no-pictures")
    assert str(log) in text and "'group' is missing" in text and "another folder" in text


def test_refused_arguments(tiny, tmp_path):
    evil = os.fsdecode(EVIL)
    for arguments in (["run", "-m", evil, "hi"], ["run", "-m", tiny, "-f", tmp_path / evil, "hi"], ["run", "-m", tiny, "--method", evil, "hi"],
                      ["run", "-m", tiny, "--set", evil, "--method", "claa", "hi"], ["run", "-m", tiny, "-n", evil, "hi"], [evil],
                      ["run", "-m", tiny, "--protect", evil, "hi"], ["eval", "-m", tiny, "--task", evil, "-o", tmp_path / "out"],
                      ["inspect", tiny, "--device", evil], ["run", "-m", tiny, f"--{evil}", "hi"],
                      ["oracle", "-m", tiny, "-o", tmp_path / "no" / evil, "hi"], ["eval", "-m", tiny, "--suite", evil, "-o", tmp_path / "out"]):
        refusal(*arguments)


def test_numbers_that_are_none_are_null(tmp_path, tiny):
    """A result of an earlier run may hold no number, and is read again."""
    out = tmp_path / "out"
    ask = ["eval", "-m", tiny, *ONE, "--task", "agreement", "--haystack", BIN.parents[2] / "README.md", "--lengths", 64, "--examples", 1,
           "--methods", "full", "--no-pictures", "-o", out]
    done = run_claa(*ask)
    assert done.returncode == 0, done.stderr
    log = out / "results.jsonl"
    head, result = log.read_text().splitlines()
    result = json.loads(result)
    result["score"] = result["metrics"]["kl"] = result["ttft_ms"] = None
    log.write_text(head + "\n" + json.dumps(result) + "\n")
    good(*ask)
    check_folder(out)
