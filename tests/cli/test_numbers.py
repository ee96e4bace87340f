"""Numbers on the command line are decimal, whole where the option is, and in range; nothing is wrapped or clamped."""
import json
import re

import pytest

from conftest import run_claa

NONE = "no-such-model.gguf"
MOST = 2**63 - 1


@pytest.mark.parametrize("given, tokens", [("010", 10), ("08", 8), ("0020", 20), ("0", 0)])
def test_leading_zeros_are_decimal(tiny, given, tokens):
    done = run_claa("run", "-m", tiny, "-t", 1, "--json", "-n", given, "hello")
    assert done.returncode == 0 and json.loads(done.stdout)["output_tokens"] == tokens, done.stderr
    traced = json.loads(run_claa("trace", "-m", tiny, "-t", 1, "--predict", given, "hello").stdout)
    assert len(traced["continuation"]) == tokens


def number_options():
    """Every option that takes a number, by the program's own help; ranges are told after the type."""
    for command in ("run", "bench", "trace", "oracle", "diagnose", "eval", "calibrate", "inspect"):
        for line in run_claa(command, "--help").stdout.decode().splitlines():
            if found := re.match(r"  (-\S+) (INT|UINT|FLOAT)\b", line):
                yield command, found[1].split(",")[-1], found[2]


OPTIONS = list(number_options())


def test_the_help_names_the_numbers():
    assert len(OPTIONS) > 40
    assert {kind for _, _, kind in OPTIONS} == {"INT", "UINT", "FLOAT"}


@pytest.mark.parametrize("command, option, kind", OPTIONS)
def test_every_number_is_decimal(refused, command, option, kind):
    other = ["1e999", "nan", "inf", "1,5"] if kind == "FLOAT" else ["1.5", "1e3", "9223372036854775808000"]
    bad = ["0x10", "", " 1", "1 ", "+1", "one", "--1", "1_000", *other, *(["-1"] if kind == "UINT" else [])]
    for text in bad:
        refused(command, *([f"{option}={text}"] if text else [option, text]), words=[f"'{text}'"])


@pytest.mark.parametrize("seed", ["-1", str(2**64), "1.0"])
def test_seeds_do_not_wrap(tiny, refused, seed):
    refused("run", "-m", tiny, "--seed", seed, "hello", words=["--seed", f"'{seed}'"])
    refused("eval", "-m", tiny, "-o", "out", "--task", "vt", "--seeds", seed, words=["--seeds", f"'{seed}'"])


def test_the_largest_seed_is_taken(tiny):
    assert run_claa("run", "-m", tiny, "-n", 1, "--seed", 2**64 - 1, "--temperature", 1, "hello").returncode == 0


@pytest.mark.parametrize("value", ["010x", "0x8", "", "8 ", "1e3", "+8", "9223372036854775808", "8.0"])
def test_every_parameter_is_decimal(refused, value):
    methods = json.loads(run_claa("methods", "--json").stdout)
    whole = [(m["name"], p["name"]) for m in methods for p in m["params"] if re.fullmatch(r"-?\d+\.\.\d+", p["range"])
             and p["default"].lstrip("-").isdigit()]
    assert len(whole) > 20
    for method, name in whole[:: max(1, len(whole) // 12)]:
        if value == "8.0" and "." in name:
            continue
        refused("run", "-m", NONE, "--method", method, "--set", f"{name}={value}", "hello", words=[name])


def test_parameters_with_leading_zeros(tiny):
    done = run_claa("trace", "-m", tiny, "--predict", 0, "--method", "claa", "--profile", "none", "--set", "window=010", "hello hello hello")
    assert done.returncode == 0 and json.loads(done.stdout)["params"]["window"] == "10"


def test_a_parameter_that_no_method_has(refused):
    refused("bench", "-m", NONE, "--methods", "full,claa", "--set", "windw=9", words=["windw", "none of the methods"])


@pytest.mark.parametrize("length", [MOST, MOST - 1, 2**31, 10**6])
@pytest.mark.parametrize("command", ["run", "trace"])
def test_a_very_long_answer_ends_with_the_context(tiny, command, length):
    done = run_claa(command, "-m", tiny, "-t", 1, *(["--json", "-n"] if command == "run" else ["--predict"]), length, "hello")
    assert done.returncode == 0, done.stderr.decode()
    answer = json.loads(done.stdout)
    tokens, prompt = ((answer["output_tokens"], answer["prompt_tokens"]) if command == "run"
                      else (len(answer["continuation"]), len(answer["prompt_tokens"])))
    assert 0 < tokens <= 256 - prompt + 1


def test_a_length_beyond_its_type_is_refused(tiny, refused):
    refused("run", "-m", tiny, "-n", MOST + 1, "hello", words=["--max-tokens", "out of range"])
    refused("trace", "-m", tiny, "--predict", MOST + 1, "hello", words=["--predict", "out of range"])


def test_the_name_of_the_program_stands_once(tiny, refused):
    for assignment in ("keep=2", "window=x", "windw=1", "heads=x", "min_confidence=0.5"):
        message = refused("run", "-m", tiny, "--method", "claa", "--profile", "none", "--set", assignment, "hello " * 30)
        assert not message.startswith("claa: claa:"), message
