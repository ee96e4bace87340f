"""claa calibrate makes a profile, continues where it was stopped, and --profile uses or refuses it."""
import json
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BIN, run_claa

ASK = "Who is Catherine? Answer in one word."
SHORT = ["--window", "16", "--kernel", "7", "--heads", "2", "--layer", "9,10", "-n", "2", "--no-pictures"]
NEXT = "no-such-model.gguf"


@pytest.fixture(scope="module")
def prompts(tmp_path_factory, passage):
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    records = [{"id": f"p{i}", "group": "even" if i % 2 == 0 else "odd", "prompt": passage[400 * i:400 * i + 700] + "\n\n" + ASK,
                "gold": "Catherine"} for i in range(4)]
    records.append({"id": "short", "prompt": "Hello"})
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory, prompts, model):
    """A profile made in two runs, the first one interrupted."""
    output = tmp_path_factory.mktemp("made") / "own.profile.json"
    command = ["calibrate", "-m", str(model), "--prompts", str(prompts), "-o", str(output), *SHORT]
    first = subprocess.Popen([str(BIN), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    log = output.parent / "own.profile.json.data/collected.jsonl"
    for _ in range(600):
        if log.exists() and log.read_text().count("\n") >= 2 or first.poll() is not None:
            break
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=120)
    kept = log.read_text()
    done = run_claa(*command)
    assert done.returncode == 0, done.stderr.decode()
    assert log.read_text().startswith(kept) and kept.count("\n") >= 2
    assert b"left out 'short'" in done.stderr and b"two windows" in done.stderr
    return output, done.stdout.decode()


def test_profile_holds_what_led_to_it(made):
    output, text = made
    profile = json.loads(output.read_text())
    assert profile["claa_profile"] == 1 and profile["window"] == 16 and profile["kernel"] == 7
    assert profile["selection_layer"] in (9, 10) and profile["first_layer"] == profile["selection_layer"] + 1
    assert all(head["layer"] <= profile["selection_layer"] and head["head"] < 9 for head in profile["heads"])
    calibration = profile["calibration"]
    assert calibration["prompts"] == 4 and calibration["groups"] == {"even": 2, "odd": 2}
    assert [(c["selection_layer"], c["picks"]) for c in calibration["candidates"]] == [(9, 1), (9, 2), (10, 1), (10, 2)]
    assert [(c["selection_layer"], c["last_layers"]) for c in calibration["published_rule"]] == [(layer, n) for layer in (9, 10) for n in (1, 2, 4)]
    for rule in calibration["published_rule"]:
        assert rule["recall"]["n"] == 4 and {name: group["n"] for name, group in rule["recall_by_group"].items()} == {"even": 2, "odd": 2}
        of_groups = sum(2 * group["mean"] for group in rule["recall_by_group"].values()) / 4
        assert rule["recall"]["mean"] == pytest.approx(of_groups)
    assert set(calibration["chosen"]["recall_by_group"]) == {"even", "odd"}
    assert sum(head["weight"] for head in profile["heads"]) == calibration["chosen"]["picks"]
    for candidate in calibration["candidates"]:
        for name in ("recall_prompts_left_out", "recall_groups_left_out"):
            assert candidate[name]["n"] == 4 and 0 <= candidate[name]["mean"] <= 1
    assert "chosen: layer" in text and "4 prompts" in text
    rule = calibration["published_rule"][1]["recall"]
    mean = f"{100 * rule['mean']:.1f} ± {100 * rule['standard_error']:.1f}"
    assert f"| 9 | 16 | 7 | maximum, n 2 | {100 * rule['mean']:.1f} | {mean} | {mean} |" in text
    assert "| layer | window | kernel | tokens by | even (2) | odd (2) |" in text


def test_windows_and_kernels_are_candidates(prompts, model, tmp_path, refused):
    output = tmp_path / "many.json"
    lists = [{"16": "16,4", "7": "21,7"}.get(word, word) for word in SHORT]
    options = ["calibrate", "-m", model, "--prompts", prompts, "-o", output, "--early", "4:0.5"]
    done = run_claa(*options, *lists)
    assert done.returncode == 0, done.stderr.decode()
    profile = json.loads(output.read_text())
    calibration = profile["calibration"]
    assert calibration["windows"] == [4, 16] and calibration["kernels"] == [7, 21]
    kinds = [(window, kernel) for window in (4, 16) for kernel in (7, 21)]
    assert [(c["window"], c["kernel"]) for c in calibration["candidates"]] == [kind for kind in kinds for _ in range(4)]
    assert [(c["window"], c["kernel"]) for c in calibration["published_rule"]] == [kind for kind in kinds for _ in range(6)]
    chosen = calibration["chosen"]
    assert (profile["window"], profile["kernel"]) == (chosen["window"], chosen["kernel"])
    # The early drop has the same scores.
    assert {(c["window"], c["kernel"]) for c in calibration["early"]["candidates"]} == {(chosen["window"], chosen["kernel"])}
    # Other candidates need another collection, the same ones in another order do not.
    again = run_claa(*options, *["4,16" if word == "16,4" else word for word in lists])
    assert again.returncode == 0 and json.loads(output.read_text()) == profile
    refused(*options, *["16" if word == "16,4" else word for word in lists], words=["windows was [4,16], is [16]"])
    refused(*options, *["4,0" if word == "16,4" else word for word in lists], words=["--window"])


def test_collections_of_older_versions_are_refused(made, prompts, model, tmp_path, refused):
    output, _ = made
    old = tmp_path / "old"
    shutil.copytree(f"{output}.data", old)
    log = (old / "collected.jsonl").read_text().splitlines(keepends=True)
    configuration = json.loads(log[0])
    for name, old_name in (("windows", "window"), ("kernels", "kernel")):
        configuration[old_name] = configuration.pop(name)[0]
    del configuration["score_files"]
    (old / "collected.jsonl").write_text(json.dumps(configuration) + "\n" + "".join(log[1:]))
    options = ["calibrate", "-m", model, "--prompts", prompts, "--data", old, "-o", tmp_path / "p.json", *SHORT]
    refused(*options, words=["score_files was not set, is 2", "choose another folder"])
    (old / "collected.jsonl").write_text("".join(log))
    scores = next(old.glob("scores_*.bin"))
    content = bytearray(scores.read_bytes())
    content[8] = 1
    scores.write_bytes(content)
    done = run_claa(*options)  # after the progress of collecting 'short' in vain
    complaint = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 2 and done.stdout == b"" and complaint.startswith("claa: ")
    for word in (scores.name, "its version is 1, this program reads 2", "another folder"):
        assert word in complaint


def trace(model, *options):
    done = run_claa("trace", "-m", model, "--method", "claa", "--keep", "0.3", "--predict", 1, *options, ASK * 20)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_profile_is_used(made, model):
    output, _ = made
    profile = json.loads(output.read_text())
    told = trace(model, "--profile", output)
    assert told["profile"] == str(output) and told["params"]["window"] == "16"
    assert told["selection_layer"] == profile["selection_layer"]
    heads = ",".join(f"{h['layer']}.{h['head']}" + (f"*{h['weight']:g}" if h["weight"] != 1 else "") for h in profile["heads"])
    assert told["params"]["heads"] == heads
    by_hand = trace(model, "--profile", "none", *(word for name in ("window", "kernel", "selection_layer", "first_layer")
                                                 for word in ("--set", f"{name}={profile[name]}")), "--set", f"heads={heads}")
    assert by_hand["selected"] == told["selected"] and by_hand["logits_top"] == told["logits_top"]
    assert trace(model, "--profile", output, "--set", "window=20")["params"]["window"] == "20"


def test_profile_next_to_the_model_is_found(made, model, tmp_path):
    output, _ = made
    (tmp_path / "m.gguf").symlink_to(model.resolve())
    (tmp_path / "m.profile.json").write_text(output.read_text())
    found = trace(tmp_path / "m.gguf")
    assert found["profile"] == str(tmp_path / "m.profile.json") and found["params"]["heads"]
    assert trace(tmp_path / "m.gguf", "--profile", "none")["params"]["heads"] == ""
    own = trace(tmp_path / "m.gguf", "--set", "kernel=5")
    assert own["profile"] == "" and own["params"]["heads"] == ""


def test_summary_names_the_profile(made, model):
    output, _ = made
    ask = ["run", "-m", model, "--method", "claa", "-n", 1, ASK * 20]
    assert f"[claa: profile {output}, kept".encode() in run_claa(*ask, "--profile", output).stderr
    assert b"[claa: no profile, kept" in run_claa(*ask, "--profile", "none").stderr
    assert b"[claa: no profile: settings of your own, kept" in run_claa(*ask, "--set", "last_layers=2").stderr
    assert b"[full: kept" in run_claa("run", "-m", model, "-n", 1, ASK).stderr
    row, = json.loads(run_claa("bench", "-m", model, "-p", 64, "--methods", "claa", "-r", 1, "--warmups", 0, "--decode", 0,
                               "--profile", output, "-o", "json").stdout)
    assert row["profile"] == str(output)


def test_early_drop_and_quality(made, prompts, model, tmp_path, refused):
    output, _ = made
    early = tmp_path / "early.json"
    options = ["calibrate", "-m", model, "--prompts", prompts, "--data", f"{output}.data", "-o", early, *SHORT]
    done = run_claa(*options, "--early", "4:0.5")
    assert done.returncode == 0, done.stderr.decode()
    profile = json.loads(early.read_text())
    assert profile["heads"] == json.loads(output.read_text())["heads"]
    assert profile["early"]["layer"] == 4 and profile["early"]["rate"] == 0.5
    assert all(head["layer"] <= 4 for head in profile["early"]["heads"])
    assert [c["selection_layer"] for c in profile["calibration"]["early"]["candidates"]] == [4, 4]
    refused(*options, "--early", "9:0.5", words=["layer 9", "before every candidate"])
    refused(*options, "--early", "4:2", words=["--early", "4:2"])

    def run(quality, source):
        done = run_claa("run", "-m", model, "--quality", quality, "--profile", source, "-n", 1, "--json", ASK * 20)
        assert done.returncode == 0, done.stderr.decode()
        answer = json.loads(done.stdout)["prefill"]
        return answer["method"], answer["params"]["keep"], answer["params"]["early_drops"]

    assert run("fast", early) == ("claa", "0.2", "4:0.5")
    assert run("balanced", early) == ("claa", "0.5", "")
    assert run("faithful", output) == ("claa", "0.4", "")
    ask = ["run", "-m", model, "hello", "--quality"]
    refused(*ask, "fast", "--profile", output, words=["early drop", "claa calibrate --early"])
    refused(*ask, "fast", "--profile", "none", words=["needs a profile", "claa calibrate"])
    refused(*ask, "fast", "--method", "snapkv", words=["--quality"])
    refused(*ask, "fast", "--keep", "0.2", words=["--quality"])


def test_published_rule_as_a_profile(made, prompts, model, tmp_path, refused):
    """With a budget of everything no heads are better."""
    output, _ = made
    rule = tmp_path / "rule.json"
    options = ["calibrate", "-m", model, "--prompts", prompts, *SHORT, "-o", rule, "--budget", 1, "--rule"]
    done = run_claa(*options)
    assert done.returncode == 0, done.stderr.decode()
    assert b"chosen: layer 9, window 16, kernel 7, maximum, n 1\n" in done.stdout
    profile = json.loads(rule.read_text())
    assert profile["claa_profile"] == 2 and profile["last_layers"] == 1 and "heads" not in profile
    assert profile["calibration"]["chosen"]["last_layers"] == 1
    refused(*options, "--early", "4:0.5", words=["early drop needs heads", "--rule"])

    used = trace(model, "--profile", rule)
    assert used["profile"] == str(rule) and used["params"]["heads"] == "" and used["params"]["last_layers"] == "1"
    by_hand = trace(model, "--profile", "none", *(word for name in ("window", "kernel", "selection_layer", "first_layer", "last_layers")
                                                 for word in ("--set", f"{name}={profile[name]}")))
    assert by_hand["selected"] == used["selected"] and by_hand["logits_top"] == used["logits_top"]
    assert trace(model, "--profile", rule, "--set", "last_layers=2")["params"]["last_layers"] == "2"
    assert trace(model, "--profile", rule, "--set", "aggregator=sum")["params"]["aggregator"] == "sum"
    ask = ["run", "-m", model, "-n", 1, ASK * 20, "--profile", rule]
    assert f"[claa: profile {rule}, kept".encode() in run_claa(*ask, "--method", "claa").stderr
    assert f"[claa: profile {rule}, kept".encode() in run_claa(*ask, "--quality", "faithful").stderr
    refused(*ask, "--quality", "balanced", words=["profile with chosen heads", "rule.json", "faithful"])
    refused(*ask, "--quality", "fast", words=["early drop", "rule.json"])
    refused(*ask, "--method", "claa", "--set", "mass=0.7", words=["mass needs heads", "profile with heads"])
    (tmp_path / "m.gguf").symlink_to(model.resolve())
    (tmp_path / "m.profile.json").write_text(rule.read_text())
    assert trace(tmp_path / "m.gguf")["params"]["last_layers"] == "1"
    own = trace(tmp_path / "m.gguf", "--set", "last_layers=2")
    assert own["profile"] == "" and own["params"]["window"] == "8"
    profile["last_layers"] = 99
    rule.write_text(json.dumps(profile))
    refused(*ask, "--method", "claa", words=["rule.json", "'last_layers' must be an integer from 1 to 10, not 99"])


def test_refused_profiles(refused, made, model, tmp_path):
    output, _ = made
    text = output.read_text()
    ask = ["run", "-m", model, "--method", "claa", "hello", "--profile"]

    def lie(change):
        profile = json.loads(text)
        change(profile)
        path = tmp_path / "lie.json"
        path.write_text(json.dumps(profile))
        return path

    refused(*ask, tmp_path / "missing.json", words=["missing.json"])
    (tmp_path / "cut.json").write_text(text[:len(text) // 2])
    refused(*ask, tmp_path / "cut.json", words=["cut.json", "not a whole JSON object"])
    refused(*ask, lie(lambda p: p.update(claa_profile=3)), words=["its version is 3"])
    refused(*ask, lie(lambda p: p["heads"][0].update(head=9)), words=["'head' must be an integer from 0 to 8, not 9"])
    refused(*ask, lie(lambda p: p["heads"][0].update(weight=-1)), words=["weight must be a positive number"])
    refused(*ask, lie(lambda p: p["heads"][0].update(weight=float("nan"))), words=["not a whole JSON object"])
    other = lie(lambda p: p["model"].update(fingerprint="0" * 16))
    refused(*ask, other, words=["made for another model", "--profile none"])
    refused("bench", "-m", model, "--methods", "full,claa", "--profile", other, words=["made for another model"])
    (tmp_path / "m.gguf").symlink_to(model.resolve())
    (tmp_path / "m.profile.json").write_text(other.read_text())
    refused("trace", "-m", tmp_path / "m.gguf", "--method", "claa", "hello", words=["m.profile.json", "another model"])
    refused("run", "-m", model, "--method", "fastkv", "--profile", output, "hello", words=["fastkv takes no profile"])
    refused(*ask, output, "--set", "aggregator=sum", words=["aggregator has no effect with a profile"])


def test_refused_heads(refused, model):
    ask = ["--method", "claa", "hello", "--set"]
    refused("run", "-m", NEXT, *ask, "heads=1", words=["LAYER.HEAD*WEIGHT", "'1'"])
    refused("run", "-m", NEXT, *ask, "heads=1.2*-1", words=["positive number"])
    refused("run", "-m", model, *ask, "heads=1.9", words=["no head 1.9", "30 layers"])
    refused("run", "-m", model, *ask, "heads=20.1", words=["after the selection layer 14"])


def test_refused_calibrations(refused, model, prompts, made, tmp_path):
    output, _ = made
    out = ["-o", tmp_path / "p.json", "--no-pictures"]
    refused("calibrate", "-m", NEXT, "--prompts", tmp_path / "none.jsonl", *out, words=["none.jsonl"])
    refused("calibrate", "-m", NEXT, "--prompts", prompts, "-o", tmp_path / "no/p.json", words=["no/p.json"])
    refused("calibrate", "-m", NEXT, "--prompts", prompts, *out, "--heads", 0, words=["--heads"])
    refused("calibrate", "-m", model, "--prompts", prompts, *out, "--layer", 29, words=["layer 29", "0..28"])
    other_window = ["17" if word == "16" else word for word in SHORT]
    refused("calibrate", "-m", model, "--prompts", prompts, "-o", output, *other_window, words=["windows was [16], is [17]"])
