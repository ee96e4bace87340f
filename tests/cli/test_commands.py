"""What the subcommands print when all is well: text, JSON shapes, standard input, sampling, interruption."""
import html
import html.parser
import json
import os
import pty
import re
import signal
import subprocess
import time

import pytest

from conftest import BIN, ROOT, read_terminal, run_claa

QUESTION = "What is the name of the young woman in this text?"
# The paper's settings, whatever profile the model has.
PAPER = ["--method", "claa", "--profile", "none"]
CLAA = [*PAPER, "--keep", "0.3"]


def good(*arguments, **options):
    done = run_claa(*arguments, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done


def good_json(*arguments, **options):
    return json.loads(good(*arguments, **options).stdout)


@pytest.fixture(scope="session")
def document(tmp_path_factory, passage):
    path = tmp_path_factory.mktemp("documents") / "passage.txt"
    path.write_text(passage)
    return path


@pytest.fixture(scope="session")
def full_json(model, document):
    return good_json("run", "-m", model, "-f", document, QUESTION, "-n", 12, "--json")


@pytest.fixture(scope="session")
def trace(model, document):
    return good_json("trace", "-m", model, "-f", document, QUESTION, *CLAA, "--predict", 6, "--scores", "--top", 5)


def test_help_and_version(claa):
    for command in ([], ["run"], ["trace"], ["bench"], ["inspect"], ["tokenize"], ["methods"]):
        assert b"Usage" in good(*command, "--help").stdout
    assert good("--version").stdout.strip() == b"0.1.0"


def test_run_answers_on_stdout_and_sums_up_on_stderr(model, document, full_json):
    done = good("run", "-m", model, "-f", document, QUESTION, "-n", 12)
    assert done.stdout.decode() == full_json["text"] + "\n"
    summary = done.stderr.decode()
    assert summary.startswith("[full: kept ") and summary.count("\n") == 1
    assert "nothing dropped: full prefill was asked for" in summary


def test_run_json(full_json):
    assert set(full_json) >= {"text", "prompt_tokens", "kept_tokens", "output_tokens", "finish_reason", "prefill", "timings_ms"}
    assert full_json["prompt_tokens"] == full_json["kept_tokens"] > 500
    assert 1 <= full_json["output_tokens"] <= 12
    assert full_json["prefill"]["method"] == "full" and full_json["prefill"]["active"] is False
    assert full_json["prefill"]["selection_layer"] is None and full_json["prefill"]["keep"] == 1.0
    assert set(full_json["timings_ms"]) == {"load", "tokenize", "prefill", "entry", "select", "first_token", "decode"}


def test_run_json_of_a_selective_prefill(model, document, full_json):
    answer = good_json("run", "-m", model, "-f", document, QUESTION, "-n", 4, "--json", *CLAA)
    assert answer["prefill"]["active"] is True and answer["prefill"]["reason"] == ""
    assert answer["prefill"]["selection_layer"] == 14 and answer["prefill"]["keep"] == 0.3
    assert answer["prompt_tokens"] == full_json["prompt_tokens"]
    assert answer["kept_tokens"] == int(answer["prompt_tokens"] * 0.3)


def test_inactive_selection_says_why(model):
    answer = good_json("run", "-m", model, "Hello", "-n", 1, "--json", "--method", "claa", "--keep", 1)
    assert answer["prefill"]["active"] is False and answer["prefill"]["reason"]


def test_keep_everything_equals_full(model, document, full_json):
    answer = good_json("run", "-m", model, "-f", document, QUESTION, "-n", 12, "--json", "--method", "claa", "--keep", 1)
    assert answer["text"] == full_json["text"]


def test_keep_tokens(model, document):
    answer = good_json("run", "-m", model, "-f", document, QUESTION, "-n", 1, "--json", *PAPER, "--keep-tokens", 100)
    assert answer["kept_tokens"] == 100


def test_option_order_does_not_matter(model, document):
    before = good_json("run", "-m", model, "-f", document, "--json", "-n", 1, *CLAA, "--set", "window=16", "--set", "kernel=5", QUESTION)
    after = good_json("run", QUESTION, "--set", "window=16", "--set", "kernel=5", *CLAA, "-n", 1, "--json", "-f", document, "-m", model)
    assert before["prefill"] == after["prefill"] and before["text"] == after["text"]
    assert before["prefill"]["params"]["window"] == "16"


def test_document_on_standard_input(model, document, passage, full_json):
    answer = good_json("run", "-m", model, "-f", "-", QUESTION, "-n", 12, "--json", stdin=passage)
    assert answer["text"] == full_json["text"] and answer["prompt_tokens"] == full_json["prompt_tokens"]
    whole = good_json("run", "-m", model, "-n", 12, "--json", stdin=passage + "\n\n" + QUESTION)
    assert whole["text"] == full_json["text"]


def test_raw_prompt_has_no_template(model):
    plain = good_json("run", "-m", model, "--json", "-n", 1, "The capital of France is")
    raw = good_json("run", "-m", model, "--json", "-n", 1, "--raw", "The capital of France is")
    assert raw["prompt_tokens"] < plain["prompt_tokens"]
    assert raw["prompt_tokens"] == int(good("tokenize", "-m", model, "--count", "The capital of France is").stdout)


def test_invalid_utf8_is_replaced(model, tmp_path):
    document = tmp_path / "latin1.txt"
    document.write_bytes(b"caf\xe9 \xff\xfe \xc3( ok \x00 end")
    answer = good_json("run", "-m", model, "-f", document, "Repeat it.", "-n", 8, "--json")
    assert answer["output_tokens"] > 0
    good("tokenize", "-m", model, "-f", document).stdout.decode("utf-8")


def test_stop_string_is_left_out(model, full_json):
    def ask(*options):
        return good_json("run", "-m", model, "--json", "--raw", "-n", 16, *options, "One, two, three,")
    text = ask()["text"]
    stop = text.split()[2]
    answer = ask("--stop", "never in it", "--stop", stop)
    assert answer["finish_reason"] == "stop"
    assert answer["text"] == text[:text.index(stop)]


def test_max_tokens_zero_is_prefill_only(model):
    answer = good_json("run", "-m", model, "--json", "-n", 0, "Hello")
    assert answer["text"] == "" and answer["output_tokens"] == 0 and answer["timings_ms"]["prefill"] > 0
    assert b"no decode" in good("run", "-m", model, "-n", 0, "Hello").stderr


def test_seeds(model):
    def ask(seed):
        return good_json("run", "-m", model, "--json", "-n", 16, "--temperature", 1.5, "--seed", seed, "Tell me a story.")["text"]
    assert ask(1) == ask(1)
    assert len({ask(1), ask(2), ask(3)}) > 1


def test_trace_json(trace):
    assert set(trace) >= {"model", "method", "params", "prompt_tokens", "selection_layer", "selected", "active", "reason",
                          "layers", "logits_top", "continuation", "text", "timings_ms", "scores"}
    tokens = len(trace["prompt_tokens"])
    budget = int(tokens * 0.3)
    assert trace["method"] == "claa" and trace["active"] is True and trace["selection_layer"] == 14
    selected = trace["selected"]
    assert len(selected) == budget and selected == sorted(set(selected))
    assert selected[-8:] == list(range(tokens - 8, tokens))  # the window
    assert len(trace["scores"]) == tokens - 8
    assert [entry["id"] for entry in trace["logits_top"]][0] == trace["continuation"][0]
    assert len(trace["logits_top"]) == 5 and len(trace["continuation"]) <= 6


def test_trace_layers(trace):
    tokens, budget = len(trace["prompt_tokens"]), len(trace["selected"])
    assert [layer["layer"] for layer in trace["layers"]] == list(range(30))
    for layer in trace["layers"]:
        assert layer["live"] == (tokens if layer["layer"] <= 14 else budget)
        if layer["layer"] < 4:
            assert layer["kept"] == "all" and layer["cache"] == [tokens]
        elif layer["layer"] <= 14:
            assert layer["cache"] == [budget] * 3 and len(layer["kept"]) == 3
            for positions in layer["kept"]:
                assert len(positions) == budget and positions == sorted(set(positions))
        else:
            assert layer["kept"] == "all" and layer["cache"] == [budget]


def test_trace_of_ids(model, trace, tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(trace["prompt_tokens"]))
    again = good_json("trace", "-m", model, "--ids", ids, *CLAA, "--predict", 6)
    assert again["selected"] == trace["selected"] and again["continuation"] == trace["continuation"]
    assert "scores" not in again


class Page(html.parser.HTMLParser):
    """The tokens of a heat map: class, tooltip and text of each; every tag and every address that the page names."""

    def __init__(self, text):
        super().__init__()
        self.tokens, self.tags, self.links, self.inside = [], set(), [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self.links += [value for name, value in attributes.items() if name in ("href", "src")]
        self.inside = tag == "span" and attributes.get("title", "").startswith("#")
        if self.inside:
            self.tokens.append((attributes["class"].split(), attributes["title"], ""))

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.tokens[-1] = (*self.tokens[-1][:2], data)


HOSTILE = b"<script>alert('1')</script> &amp; \x1b[31mred\x1b]0;title\x07 caf\xe9 \xc2\x9b1m \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\r\nend"


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "hostile.txt"
    path.write_bytes(HOSTILE)
    return path


def test_heatmap_page_agrees_with_the_json(model, document, passage, trace, tmp_path):
    file = tmp_path / "heat.html"
    again = good_json("trace", "-m", model, "-f", document, QUESTION, *CLAA, "--predict", 6, "--scores", "--top", 5,
                      "--heatmap", file)
    assert {k: v for k, v in again.items() if k != "timings_ms"} == {k: v for k, v in trace.items() if k != "timings_ms"}
    assert [path.name for path in tmp_path.iterdir()] == ["heat.html"]  # no temporary file
    page = Page(file.read_text("utf-8"))
    assert len(page.tokens) == len(trace["prompt_tokens"])
    assert [i for i, (names, _, _) in enumerate(page.tokens) if "k" in names] == trace["selected"]
    assert [i for i, (names, _, _) in enumerate(page.tokens) if "w" in names] == trace["selected"][-8:]
    assert [int(re.match(r"#\d+ id (\d+) ", tip)[1]) for _, tip, _ in page.tokens] == trace["prompt_tokens"]
    assert passage in "".join(text for _, _, text in page.tokens)
    best = max(range(len(trace["scores"])), key=lambda i: trace["scores"][i])
    assert f"rank 1/{len(trace['scores'])}" in page.tokens[best][1] and "c9" in page.tokens[best][0]
    held = sum(3 if layer["kept"] == "all" else sum(best in kept for kept in layer["kept"]) for layer in trace["layers"][4:])
    assert f"caches {held}/78" in page.tokens[best][1]
    assert trace["text"] in html.unescape(file.read_text("utf-8"))


def test_heatmap_of_a_method_without_a_score(model, document, tmp_path):
    file = tmp_path / "heat.html"
    trace = good_json("trace", "-m", model, "-f", document, QUESTION, "--method", "snapkv", "--keep", 0.2, "--predict", 1,
                      "--heatmap", file)
    text = file.read_text("utf-8")
    assert "share of the caches" in text and "score " not in text
    for i, (names, tip, _) in enumerate(Page(text).tokens):
        held = sum(i in kept for layer in trace["layers"] for kept in layer["kept"])
        assert tip.split("\n")[1] == f"caches {held}/90" and ("k" in names) == (held >= 45)
        assert ("w" in names) == (i >= len(trace["prompt_tokens"]) - 8)


def test_heatmap_page_is_harmless(model, hostile, tmp_path):
    file = tmp_path / "heat.html"
    good("trace", "-m", model, "-f", hostile, "Say it.", *PAPER, "--keep-tokens", 30, "--predict", 2, "--heatmap", file)
    text = file.read_text("utf-8")
    page = Page(text)
    assert "script" not in page.tags and all(link.startswith("#p") for link in page.links)
    assert not [c for c in text if ord(c) < 32 and c != "\n" or 0x7F <= ord(c) < 0xA0]
    shown = "".join(text for _, _, text in page.tokens)
    assert ("<script>alert('1')</script> &amp; ␛[31mred␛]0;title" in shown and "caf� \\u{9b}1m 日本語␍\nend" in shown), shown


def test_heatmap_in_a_pipe_is_plain_text(model, hostile):
    ask = ["trace", "-m", model, "-f", hostile, "Say it.", *PAPER, "--keep-tokens", 30, "--predict", 2, "--heatmap", "-"]
    text = good(*ask).stdout.decode()
    assert not [c for c in text if ord(c) < 32 and c not in "\n\t" or 0x7F <= ord(c) < 0xA0]
    assert "Kept    30 of " in text and " […" in text
    dropped = sum(int(n) for n in re.findall(r" \[…(\d+) tokens?…\] ", text))
    assert f"Kept    30 of {30 + dropped} tokens" in text
    assert good(*ask, "--color", "never").stdout.decode() == text


@pytest.mark.parametrize("environment,options,colored", [
    ({}, [], True), ({"NO_COLOR": "1"}, [], False), ({"TERM": "dumb"}, [], False), ({}, ["--color", "never"], False),
    ({"NO_COLOR": "1"}, ["--color", "always"], True)])
def test_heatmap_on_a_terminal(model, hostile, environment, options, colored):
    main, terminal = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environment}
    process = subprocess.Popen([str(BIN), "trace", "-m", str(model), "-f", str(hostile), "Say it.", *CLAA, "--predict", "1",
                                "--heatmap", "-", *options], env=environment, stdin=subprocess.DEVNULL, stdout=terminal)
    os.close(terminal)
    out = read_terminal(main)
    assert process.wait(timeout=60) == 0
    assert (b"\x1b[" in out) == colored
    assert not re.sub(rb"\x1b\[[0-9;]*m", b"", out).count(b"\x1b")


def test_heatmap_in_colour_on_request(model, hostile):
    out = good("trace", "-m", model, "-f", hostile, "Say it.", *CLAA, "--predict", 1, "--heatmap", "-", "--color", "always").stdout
    assert b"\x1b[1;4;38;5;16;48;5;153m" in out and b"window, always kept" in out


def test_bench_stages_trace_and_peer(model, tmp_path):
    trace = tmp_path / "trace.json"
    common = ["bench", "-m", model, "-p", 96, "--methods", "full,claa", "-r", 1, "--warmups", 0, "--decode", 0, "--dtype", "int8"]
    out = good(*common, "--stages", "--trace-file", trace, "--compare", "echo {tokens}.5").stdout.decode()
    assert "| 96 | 96.5 | 96.5 | 96.5 |" in out and "linear GFLOP/s" in out and "Peak: " in out
    events = json.loads(trace.read_text())["traceEvents"]
    names = {event["name"] for event in events if event["ph"] == "X"}
    assert names == {"linear", "attention", "scores", "select", "rest"}
    assert {event["pid"] for event in events} == {0, 1}
    for command, message in (("echo hi", b"no milliseconds"), ("false", b"failed")):
        done = run_claa(*common, "--compare", command)
        assert done.returncode != 0 and message in done.stderr


# The program's threads are its own: it sets nothing in its environment, and a program that it starts inherits the user's.
@pytest.mark.parametrize("setting,inherited", [({}, 0), ({"GOMP_SPINCOUNT": "7"}, 1), ({"OMP_WAIT_POLICY": "passive"}, 0)])
def test_the_environment_stays_the_users(model, setting, inherited):
    command = "echo $((1 + $(printenv GOMP_SPINCOUNT | wc -l)))"
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = run_claa("bench", "-m", model, "-p", 16, "-r", 1, "--decode", 1, "--methods", "full", "--compare", command, "-o", "json", env=clean | setting)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)[0]["peer_ms"] == 1 + inherited


def test_bench(model):
    common = ["bench", "-m", model, "-p", 96, "--methods", "full,claa", "--keep", "0.2,0.5", "-r", 2, "--warmups", 0, "--decode", 2]
    rows = good_json(*common, "-o", "json")
    assert [(row["method"], row["keep"]) for row in rows] == [("full", 1.0), ("claa", 0.2), ("claa", 0.5)]
    for row in rows:
        assert set(row) >= {"shape", "device", "dtype", "method", "keep", "tokens", "ttft_ms", "tokens_per_s", "select_ms",
                            "peak_bytes", "decode_ms"}
        assert row["tokens"] == 96 and row["ttft_ms"]["runs"] == 2
        assert row["ttft_ms"]["min"] <= row["ttft_ms"]["median"] <= row["ttft_ms"]["max"]
    table = good(*common).stdout.decode().strip().split("\n")
    assert table[2].startswith("| tokens | method | keep ") and len(table) == 7


def test_inspect(model):
    facts = good_json("inspect", model, "--json")
    assert facts["architecture"] == "llama" and facts["layers"] == 30 and facts["kv_heads"] == 3
    assert facts["context"] == 8192 and facts["chat_template"] is True and facts["memory"]
    assert "30 layers" in good("inspect", model).stdout.decode()


def test_inspect_plans_a_short_context(tiny):
    assert {row["tokens"] for row in good_json("inspect", tiny, "--json")["memory"]} == {256}


def test_inspect_plans_memory(model):
    plan = good_json("inspect", "--shape", "llama-3.1-8b", "--device", "cuda", "--dtype", "bf16", "--tokens", 131072, "--json")
    [row] = plan["memory"]
    assert (row["tokens"], row["device"], row["dtype"]) == (131072, "cuda", "bf16")
    assert row["cache_bytes"] == 131072 * 32 * 2 * 8 * 128 * 2 and row["hidden_bytes"] == 131072 * 4096 * 4
    assert row["total_bytes"] == sum(row[part + "_bytes"] for part in ("weights", "hidden", "layer_kv", "workspace", "cache",
                                                                          "program"))
    assert 35e9 < row["total_bytes"] < 80e9
    text = good("inspect", model, "--tokens", "1000,2000", "--dtype", "int8").stdout.decode()
    assert [line.split()[:3] for line in text.splitlines()[-4:]] == [[tokens, "int8", form] for tokens in ("1000", "2000")
                                                                     for form in ("widened", "resident")]
    # In f32 resident weights change no bit, so that there is no other form.
    rows = good_json("inspect", model, "--tokens", "1000", "--json")["memory"]
    assert [(row["dtype"], row["weights"]) for row in rows] == [("f32", "resident"), ("bf16", "widened"), ("bf16", "resident")]


@pytest.mark.parametrize("weights", ["widened", "resident"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
def test_inspect_plans_what_is_used(model, dtype, weights):
    form = ["--dtype", dtype, "--weights", weights]
    [plan] = good_json("inspect", model, *form, "--tokens", 700, "--json")["memory"]
    assert plan["weights"] == weights
    [row] = good_json("bench", "-m", model, "--device", "cpu", *form, "-p", 700, "--methods", "full", "-r", 1, "--warmups", 0,
                      "--decode", 1, "-o", "json")
    assert abs(plan["total_bytes"] / row["peak_bytes"] - 1) < 0.05, (plan["total_bytes"], row["peak_bytes"])


def test_tokenize(model):
    ids = json.loads(good("tokenize", "-m", model, "--ids", "Hello, world").stdout)
    assert len(ids) == int(good("tokenize", "-m", model, "--count", "Hello, world").stdout)
    assert json.loads(good("tokenize", "-m", model, "--ids", stdin="Hello, world").stdout) == ids
    pieces = [line.split(maxsplit=1)[1] for line in good("tokenize", "-m", model, "Hello, world").stdout.decode().splitlines()]
    assert "".join(json.loads(piece) for piece in pieces) == "Hello, world"


def test_methods(claa):
    methods = good_json("methods", "--json")
    names = [method["name"] for method in methods]
    assert names == sorted(names) and {"full", "claa", "fastkv", "snapkv"} <= set(names)
    text = good("methods").stdout.decode()
    for method in methods:
        assert method["summary"] in text
        for param in method["params"]:
            assert set(param) == {"name", "default", "range", "help"} and param["help"] in text


@pytest.mark.parametrize("wait", [0.2, 3.0])  # while loading; in prefill
def test_interrupt_ends_a_run_soon(model, wait):
    process = subprocess.Popen([str(BIN), "run", "-m", str(model), "-f", str(ROOT / "examples/document.txt"), "Summarise."],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(wait)
    assert process.poll() is None, "the prompt is too short for this test"
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    elapsed = time.monotonic() - start
    assert process.returncode == 130
    assert out == b"" and err == b"claa: interrupted\n"
    assert elapsed < 5  # seconds; a fraction of one on a quiet machine, where the prompt takes many
