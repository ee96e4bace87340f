"""Bad input: one clear sentence on stderr, nothing on stdout, exit code 2; never a crash, never a silent guess."""
import os
import resource

import pytest

from gguf_file import gguf, llama

RUN = ["run", "-m", "no-such-model.gguf"]  # what these refuse is refused before the model is opened


def test_empty_prompt(refused, model):
    refused("run", "-m", model, stdin=b"", words=["the prompt is empty"])
    refused("run", "-m", model, "", stdin=b"", words=["the prompt is empty"])
    refused("trace", "-m", model, stdin=b"", words=["the prompt is empty"])


def test_empty_document(refused, model, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.touch()
    refused("run", "-m", model, "-f", empty, "What is it?", words=["empty.txt", "is empty"])
    refused("run", "-m", model, "-f", "-", "What is it?", stdin=b"", words=["is empty"])


@pytest.mark.parametrize("command", ["run", "trace"])
def test_prompt_over_the_context(refused, model, tmp_path, command):
    long = tmp_path / "long.txt"
    long.write_text("word " * 9000)
    message = refused(command, "-m", model, "-f", long, "What?", words=["context holds 8,192", "shorten"])
    counted = int(message.split("the prompt has ")[1].split(" ")[0].replace(",", ""))
    assert counted > 9000


def test_ids_over_the_context(refused, model, tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text(str([5] * 8193))
    refused("run", "-m", model, "--ids", ids, words=["8,193 tokens", "8,192"])


@pytest.mark.parametrize("keep", ["0", "2", "nan", "inf", "-0.5", "0.2x", "", "1e-300"])
def test_keep_out_of_range(refused, keep):
    if keep == "":
        refused(*RUN, "--method", "claa", "--set", "keep=", "hello", words=["keep", "must be a number"])
    else:
        refused(*RUN, "--method", "claa", f"--keep={keep}", "hello", words=["keep must be a number", f"'{keep}'"])


@pytest.mark.parametrize("tokens", ["-1", "1.5", "many", "99999999999999999999"])
def test_keep_tokens_out_of_range(refused, tokens):
    refused(*RUN, "--method", "claa", f"--keep-tokens={tokens}", "hello", words=["keep_tokens must be an integer", tokens])


@pytest.mark.parametrize("command", ["run", "trace"])
def test_unknown_method_offers_the_names(refused, command):
    refused(command, "-m", "no-such-model.gguf", "--method", "magic", "hello",
            words=["unknown method 'magic'", "claa", "fastkv", "full", "snapkv"])


def test_bench_refuses_before_loading(refused):
    refused("bench", "-m", "no-such-model.gguf", "--methods", "full,magic", words=["unknown method 'magic'"])
    refused("bench", "-m", "no-such-model.gguf", "--methods", "claa", "--keep", "3", words=["keep must be"])
    refused("bench", "-m", "no-such-model.gguf", "-o", "xml", words=["unknown output 'xml'", "md or json"])


def test_unknown_parameter_offers_the_names(refused):
    refused(*RUN, "--method", "claa", "--set", "windw=9", "hello", words=["'windw'", "window", "kernel", "keep"])
    refused(*RUN, "--keep", "0.2", "hello", words=["full has no parameter 'keep'"])


@pytest.mark.parametrize("assignment", ["nonsense", "=5", "", "="])
def test_set_takes_name_and_value(refused, assignment):
    refused(*RUN, "--method", "claa", "--set", assignment, "hello")


@pytest.mark.parametrize("assignment", ["window=0", "window=1e3", "kernel=", "pooling=sum", "aggregator=best",
                                        "selection_layer=-2", "window= 8"])
def test_parameter_out_of_range(refused, assignment):
    refused(*RUN, "--method", "claa", "--set", assignment, "hello", words=[assignment.split("=")[0], "must be"])


def test_selection_layer_beyond_the_model(refused, model):
    refused("run", "-m", model, "--method", "claa", "--set", "selection_layer=29", "hello",
            words=["selection_layer 29", "30 layers", "0..28"])


@pytest.mark.parametrize("option", [["--temperature", "-1"], ["--temperature", "nan"], ["--top-p", "2"],
                                    ["--top-k", "-1"], ["--min-p", "7"], ["--repetition-penalty", "0"]])
def test_sampling_out_of_range(refused, option):
    refused(*RUN, *option, "hello", words=[option[0].strip("-").replace("-", "_").split("_")[0]])


@pytest.mark.parametrize("option", [["--top-k", "many"], ["--max-tokens", "1.5"], ["--nonsense"], ["--seed", "-1"],
                                    ["--max-tokens"]])
def test_options_that_do_not_parse(refused, option):
    refused(*RUN, "hello", *option)


def test_negative_max_tokens(refused, model):
    refused("run", "-m", model, "--max-tokens=-1", "hello", words=["max_tokens", "-1"])


def test_empty_stop(refused, model):
    refused("run", "-m", model, "--stop", "", "hello", words=["stop"])


def test_no_subcommand(refused):
    refused()
    refused("dance")


def test_missing_model(refused):
    for command in (["run", "hello"], ["trace", "hello"], ["bench"], ["tokenize", "hello"]):
        refused(command[0], "-m", "/no/such/model.gguf", *command[1:], words=["/no/such/model.gguf", "No such file"])
    refused("inspect", "/no/such/model.gguf", words=["/no/such/model.gguf"])
    refused("run", "hello", words=["--model"])


def every_reader(refused, path, words):
    refused("run", "-m", path, "hello", words=words)
    refused("inspect", path, words=words)


def test_truncated_model(refused, model, tmp_path):
    with open(model, "rb") as source:
        start = source.read(3_000_000)
    for size in (4, 20, 1000, 500_000, 3_000_000):
        cut = tmp_path / f"cut_{size}.gguf"
        cut.write_bytes(start[:size])
        every_reader(refused, cut, [cut.name])


def test_not_a_gguf_file(refused, tmp_path):
    for content in (b"", b"hello", b"PK\x03\x04" + b"\0" * 100, b"GGUF", b"FUGG" + b"\0" * 64):
        other = tmp_path / "other.gguf"
        other.write_bytes(content)
        every_reader(refused, other, ["other.gguf"])


def test_unknown_gguf_version(refused, tmp_path):
    file = tmp_path / "future.gguf"
    file.write_bytes(gguf(llama(), version=99))
    every_reader(refused, file, ["99"])


def test_unsupported_architecture(refused, tmp_path):
    file = tmp_path / "other.gguf"
    file.write_bytes(gguf(llama(general__architecture="mamba")))
    every_reader(refused, file, ["architecture 'mamba' is not supported", "llama"])


def test_missing_metadata(refused, tmp_path):
    file = tmp_path / "bare.gguf"
    file.write_bytes(gguf(llama(llama__block_count=None)))
    every_reader(refused, file, ["llama.block_count"])
    file.write_bytes(gguf(llama(llama__context_length=0)))
    every_reader(refused, file, ["llama.context_length"])
    file.write_bytes(gguf(llama()))
    every_reader(refused, file, ["no tensors"])
    f32 = 0
    file.write_bytes(gguf(llama(), [("output_norm.weight", [32], f32, b"\0" * 128)]))
    every_reader(refused, file, ["token_embd.weight"])


def test_unsupported_quantisation(refused, tmp_path):
    file = tmp_path / "q8_1.gguf"
    q8_1 = 9
    file.write_bytes(gguf(llama(), [("token_embd.weight", [32, 4], q8_1, b"\0" * 40 * 4)]))
    every_reader(refused, file, ["token_embd.weight", "Q8_1"])


def test_directories(refused, model, tmp_path):
    refused("run", "-m", tmp_path, "hello", words=["directory"])
    refused("inspect", tmp_path, words=["directory"])
    refused("run", "-m", model, "-f", tmp_path, "hello", words=["directory"])
    refused("run", "-m", model, "--ids", tmp_path, words=["directory"])


def test_unreadable_files(refused, model, tmp_path):
    # A dangling link, a link to itself and a device cannot be read by anyone, root included.
    dangling, loop = tmp_path / "dangling", tmp_path / "loop"
    dangling.symlink_to(tmp_path / "nothing")
    loop.symlink_to(loop)
    for path in (dangling, loop, "/dev/null", "/proc/self/mem", tmp_path / "missing.txt"):
        refused("run", "-m", model, "-f", path, "hello", words=[path])


@pytest.mark.parametrize("content", ["1 2 three", "1.5", "{}", "", "[]", "99999999999999"])
def test_bad_ids(refused, model, tmp_path, content):
    ids = tmp_path / "ids.txt"
    ids.write_text(content)
    refused("run", "-m", model, "--ids", ids, words=["ids.txt"])


@pytest.mark.parametrize("content", ["49152", "-1", "2147483647"])
def test_ids_outside_the_vocabulary(refused, model, tmp_path, content):
    ids = tmp_path / "ids.txt"
    ids.write_text(content)
    refused("run", "-m", model, "--ids", ids, words=["vocabulary", content])


@pytest.mark.parametrize("option", [["--dtype", "f8"], ["--device", "abacus"], ["--threads=-3"], ["--threads", "9999"],
                                    ["--isa", "mmx"]])
def test_engine_options(refused, model, option):
    refused("run", "-m", model, *option, "hello", words=[option[-1].split("=")[-1]])


def test_system_message_needs_a_template(refused, model):
    refused("run", "-m", model, "--raw", "--system", "Be brief.", "hello", words=["--raw"])


def test_heatmap_that_cannot_be_written(refused, tmp_path):
    # Refused before the model is opened: nobody waits for a prefill to learn of a wrong path.
    for path, why in ((tmp_path / "missing/heat.html", "No such file"), (tmp_path, "directory"),
                      ("/proc/heat.html", "No such file"), ("", "No such file")):
        refused("trace", "-m", "no-such-model.gguf", "hello", "--heatmap", path, words=[f"cannot write '{path}'", why])


def test_heatmap_leaves_nothing_behind_when_refused(refused, model, tmp_path):
    # A limit on file sizes stands for a full disk; Python leaves its signal ignored for the program.
    refused("trace", "-m", model, "hello", "--predict", 0, "--heatmap", tmp_path / "heat.html", words=["heat.html", "too large"],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)), restore_signals=False)
    assert list(tmp_path.iterdir()) == []
    refused("trace", "-m", model, "--predict=-1", "hello", "--heatmap", tmp_path / "heat.html", words=["max_tokens"])
    assert list(tmp_path.iterdir()) == []


def test_color_belongs_to_the_heatmap(refused):
    refused("trace", "-m", "no-such-model.gguf", "hello", "--color", "always", words=["--heatmap"])
    refused("trace", "-m", "no-such-model.gguf", "hello", "--heatmap", "-", "--color", "pink", words=["pink"])


@pytest.mark.parametrize("option", [["--scores"], ["--top", 3], ["--top", 10]])
def test_the_heatmap_instead_of_the_json_takes_no_option_of_the_json(refused, option):
    refused("trace", "-m", "no-such-model.gguf", "hello", "--heatmap", "-", *option, words=["--heatmap -", "--scores and --top"])


def test_full_disk(claa, model):
    with open("/dev/full", "wb") as full:
        import subprocess

        from conftest import BIN
        done = subprocess.run([str(BIN), "tokenize", "-m", str(model), "--count", "hello"], stdout=full,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=os.environ, timeout=60)
    assert done.returncode == 2
    assert done.stderr == b"claa: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("arguments, why", [
    ([], "give a model file"),
    (["--shape", "nothing"], "unknown shape"),
    (["--shape", "llama-3.1-8b", "--device", "tpu"], "unknown device 'tpu'"),
    (["--shape", "llama-3.1-8b", "--dtype", "fp8"], "device cpu has no dtype 'fp8'"),
    (["--shape", "llama-3.1-8b", "--tokens", 200000], "more than the model's context holds"),
])
def test_inspect(refused, arguments, why):
    refused("inspect", *arguments, words=[why])


def test_a_memory_limit_ends_in_one_sentence(claa, model, tmp_path):
    """Wherever memory ends, in loading or in any thread of a prefill, the program says so and stops with status 2."""
    ids = tmp_path / "ids.json"
    ids.write_text(str([5 + i % 1000 for i in range(900)]))
    statuses = []
    for mebibytes in (100, 300, 600, 640, 660, 680, 700, 710, 720, 730, 4000):
        limit = mebibytes << 20
        done = claa("run", "-m", model, "--ids", ids, "-n", 1, "--dtype", "f32", "-t", 4, "--method", "snapkv", "--keep", "0.99",
                    "--set", "window=850", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        message = done.stderr.decode()
        statuses.append(done.returncode)
        if done.returncode != 0:
            assert done.returncode == 2, (mebibytes, done.returncode, message)
            assert message.startswith("claa: ") and message.count("\n") == 1, (mebibytes, message)
            assert "memory" in message or "allocate" in message or "threads" in message, (mebibytes, message)
    assert statuses[0] == 2 and statuses[-1] == 0, statuses
