"""Tools that read the results of evaluations: the best setting of one half judged on the other, two generators side by side, the
chart of scores against time."""
import importlib.util
import json
import subprocess
import sys

from conftest import ROOT

TASKS = ("first", "second")


def write_results(path, answers):
    """answers: (configuration, method, task, number, score)"""
    lines = [{"program": "claa"}]
    for index, (configuration, method, task, number, score) in enumerate(answers):
        lines.append({"index": TASKS.index(task) * 100 + number, "id": f"{task}/1000/{number}", "task": task, "status": "ok", "tokens": 1000 + index,
                      "configuration": configuration, "method": method, "score": score})
    lines.append({"index": 999, "id": "first/1000/999", "task": "first", "status": "error", "configuration": "full", "method": "full"})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def tool(name, *arguments):
    return subprocess.run([sys.executable, ROOT / "tools" / name, *arguments], capture_output=True, text=True)


def test_the_best_of_one_half_is_judged_on_the_other(tmp_path):
    each = [(task, number) for task in TASKS for number in range(8)]
    sweep = write_results(tmp_path / "sweep.jsonl", [
        *(("lucky", "claa", task, n, 1 if n % 2 == 0 else 0) for task, n in each),
        *(("steady", "claa", task, n, 0.75) for task, n in each),
        *(("other", "fastkv", task, n, 1) for task, n in each)])
    published = write_results(tmp_path / "published.jsonl", [
        *(("claa 0.2", "claa", task, n, 0.5) for task, n in each), *(("full", "full", task, n, 1) for task, n in each)])
    done = tool("best_of_halves.py", sweep, "--published", published)
    assert done.returncode == 0, done.stderr
    even, odd = done.stdout.split("\n\n")
    assert even.splitlines()[1].split() == ["100.0", "lucky"] and "other" not in done.stdout
    assert "on the odd ones (n = 8): 0.0 [0.0, 0.0], number 2 of 2" in even
    assert "claa 0.2: 50.0 [50.0, 50.0], difference -50.0 [-50.0, -50.0]" in even
    assert odd.splitlines()[1].split() == ["75.0", "steady"]
    assert "on the even ones (n = 8): 75.0 [75.0, 75.0], number 2 of 2" in odd
    assert "full: 100.0 [100.0, 100.0], difference -25.0 [-25.0, -25.0]" in odd
    missing = tool("best_of_halves.py", sweep, "--published", published, "--label", "claa 0.3")
    assert missing.returncode != 0 and "no answers of 'claa 0.3'; there are claa 0.2, full" in missing.stderr
    one = write_results(tmp_path / "one.jsonl", [("claa", "claa", "first", 5, 1)])
    refused = tool("best_of_halves.py", one, "--published", published)
    assert refused.returncode != 0 and "no halves" in refused.stderr


def write_summary(path, cells, examples="0123"):
    """cells: {configuration: (score, share kept)}"""
    rows = [{"configuration": name, "score": {"mean": score, "low": score - 3, "high": score + 3}, "kept_share": kept}
            for name, (score, kept) in cells.items()]
    path.write_text(json.dumps({"configuration": {"examples_fingerprint": examples},
                                "rows": [{"name": "overall", "cells": rows}, {"name": "qa", "cells": rows[:1]}]}))
    return path


def test_the_chart_places_what_was_kept_and_marks_the_qualities(tmp_path):
    cells = {"full": (36, 1), "claa 0.1": (5, 0.1), "claa 0.2": (11, 0.2), "profile 0.1": (40, 0.1), "profile 0.2": (38, 0.2),
             "profile 0.4": (35, 0.4), "mass mass=0.7": (38, 0.13), "mass mass=0.75": (37, 0.169), "mass mass=0.8": (36, 0.231)}
    spec = importlib.util.spec_from_file_location("accuracy_chart", ROOT / "tools/accuracy_chart.py")
    chart = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chart)
    summary = write_summary(tmp_path / "summary.json", cells)
    done = tool("accuracy_chart.py", tmp_path / "chart.svg", summary)
    assert done.returncode == 0, done.stderr
    picture = (tmp_path / "chart.svg").read_text()
    assert "mass 0.7, 0.75, 0.8" in picture and "balanced" in picture and "faithful" in picture
    assert "fast<" not in picture and "published" not in picture, "one point of a line is missing"
    drawn = {name: line for name, _, line in chart.points(chart.read_cells([summary], "overall"))}
    bounds = [x for x, _, _ in drawn["+ mass 0.7, 0.75, 0.8"]]
    # 19 layers of all tokens, 11 of 13 %: 1.7 parts are linear, 2.2 go with the square.
    assert abs(bounds[0] - (1.7 * (19 + 11 * 0.13) + 2.2 * (19 + 11 * 0.13 ** 2)) / 30 / 3.9) < 1e-9
    assert bounds == sorted(bounds) and [label for _, _, label in drawn["+ mass 0.7, 0.75, 0.8"]][0] == "mass mass=0.7"
    assert abs(chart.bound(chart.EARLY, 0.2) - 0.53) < 0.005 and abs(chart.bound(chart.LATE, 0.2) - 0.67) < 0.005
    nothing = tool("accuracy_chart.py", tmp_path / "none.svg", summary, "--row", "qa")
    assert nothing.returncode != 0 and "none of the lines" in nothing.stderr


def test_the_chart_joins_summaries_of_the_same_examples(tmp_path):
    one = write_summary(tmp_path / "one.json", {"claa 0.1": (5, 0.1), "claa 0.2": (11, 0.2), "full": (36, 1)})
    other = write_summary(tmp_path / "other.json", {"claa 0.4": (17, 0.4), "full": (37, 1), "early 10:0.6 0.1": (39, 0.1),
                                                    "early 10:0.6 0.2": (38, 0.2), "early 10:0.6 0.4": (35, 0.4)})
    done = tool("accuracy_chart.py", tmp_path / "chart.svg", one, other)
    assert done.returncode == 0, done.stderr
    picture = (tmp_path / "chart.svg").read_text()
    assert "published settings" in picture and "early drop 10:0.6" in picture and "fast" in picture and "balanced" not in picture
    strangers = tool("accuracy_chart.py", tmp_path / "chart.svg", one, write_summary(tmp_path / "third.json", {"full": (1, 1)}, "4567"))
    assert strangers.returncode != 0 and "2 different sets of examples" in strangers.stderr


def test_two_generators_by_task_and_together(tmp_path):
    official = write_results(tmp_path / "official.jsonl", [
        *(("full", "full", "first", n, n % 2) for n in range(8)), *(("full", "full", "second", n, 1) for n in range(4)),
        ("claa 0.2", "claa", "first", 0, 0)])
    own = write_results(tmp_path / "own.jsonl", [*(("full", "full", "first", n, 1) for n in range(4))])
    done = tool("same_scores.py", official, own)
    assert done.returncode == 0, done.stderr
    first, together = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert first[0] == "first" and first[1] == "8" and first[3].startswith("50.0 [") and first[4] == "4"
    assert first[2] == "1,004" and first[6] == "100.0 [100.0, 100.0]" and first[7].startswith("+50.0 [+")
    assert together[0] == "all" and together[1:] == first[1:], "a task that one of them lacks counts for none"


def test_two_runs_are_compared_example_by_example(tmp_path):
    def run(name, label, scores, prompt="same"):
        path = write_results(tmp_path / name, [(label, "full", task, n, s) for task in TASKS for n, s in enumerate(scores)])
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines[1:]:
            line |= {"prompt_hash": prompt, "prediction": str(line.get("score"))}
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    ours, theirs = run("ours.jsonl", "full", [1, 1, 0, 0]), run("theirs.jsonl", "other", [1, 0, 1, 1])
    done = tool("paired_difference.py", ours, "full", theirs, "other")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("ours: 50.0 [") and done.stdout.splitlines()[1].startswith("theirs: 75.0 [")
    assert "difference: -25.0 [" in done.stdout and "n = 8, the same text in 2" in done.stdout
    assert "no answers of 'nobody'" in tool("paired_difference.py", ours, "nobody", theirs, "other").stderr
    another = run("another.jsonl", "full", [1, 1, 0, 0], prompt="another")
    assert "did not ask the same prompts" in tool("paired_difference.py", ours, "full", another, "full").stderr


def test_tables_of_a_whole_run(tmp_path):
    def score(mean, **more):
        return {"score": {"mean": mean, "low": mean - 1, "high": mean + 1, "n": 4}, "kept_share": 0.2, "metrics": {}, "differences": {}, **more}

    full = {"configuration": "full", **score(40, kept_share=1.0)}
    profile = {"configuration": "profile 0.2", **score(44, differences={"full": {"mean": 4, "low": -1, "high": 9}})}
    metrics = {"kl": {"mean": 0.125}, "top1": {"mean": 0.9}, "top5": {"mean": 0.99}, "perplexity": {"mean": 17, "low": 16, "high": 18}}
    left_out = [{"configuration": f"{name} {rate}", **score(30)} for name, rate in
                [("profile", "0.1"), *((kind, f"keep={r}") for kind in ("without needles", "needles only") for r in ("0.1", "0.2"))]]
    for task in ("ruler", "babilong", "longbench", "niah", "agreement"):
        quality = {"configuration": "claa, profile 0.2", **score(30, metrics=metrics)}
        cells = [full, quality] if task in ("niah", "agreement") else [full, profile, *left_out]
        rows = [{"name": "agreement" if task == "agreement" else "overall", "cells": cells}]
        rows += [{"name": name, "cells": cells} for name in ("niah_single_1", "vt")]
        (tmp_path / task).mkdir()
        (tmp_path / task / "summary.json").write_text(json.dumps({"rows": rows}))
    bench = tmp_path / "bench.json"
    bench.write_text(json.dumps([{"method": "full", "keep": 1, "ttft_ms": {"median": 200}},
                                 *({"method": "claa", "keep": k, "ttft_ms": {"median": 400 * k}} for k in (0.1, 0.2, 0.4))]))
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "ablation_window").mkdir()
    (tmp_path / "ablation_window/summary.json").write_text(json.dumps({"rows": [{"name": "overall", "cells": [
        {"configuration": "claa W 8 k 21 0.2", **score(20.2)}]}]}))
    done = tool("accuracy_tables.py", tmp_path, "--bench", bench, "--data", data)
    assert done.returncode == 0, done.stderr
    assert "| claa, profile (layer 18) | 30.0 [29.0, 31.0] | 44.0 [43.0, 45.0] |  |" in done.stdout
    assert "| the profile | 0.2 | 44.0 | +4.0 [−1.0, +9.0] | 110 % | 0.67 |" in done.stdout
    assert "| claa | 0.20 | 0.40 | 0.80 |" in done.stdout
    assert "| claa, profile (layer 18) | 0.2 | 0.125 | 90.0 | 99.0 | 17.00 [16.00, 18.00] |" in done.stdout
    ladder = (data / "accuracy-ladder.csv").read_text().splitlines()
    assert ladder[0].startswith("step,keep_rate,ruler_score_x100") and "the profile,0.2,44.0,4.0,-1.0,9.0,1.10,0.67" in ladder
    assert (data / "accuracy-ruler.csv").read_text().splitlines()[1:3] == [
        "full,1,40.0,39.0,41.0", '"claa, profile (layer 18)",0.1,30.0,29.0,31.0']
    assert '"claa, profile (layer 18)",0.2,44.0,43.0,45.0,4.0,-1.0,9.0' in (data / "accuracy-babilong.csv").read_text()
    assert "profile 20 %,RULER,44.0,43.0,45.0,4.0,-1.0,9.0,0.2000" in (data / "accuracy-mass.csv").read_text()
    assert (data / "accuracy-ablations.csv").read_text().splitlines()[1] == "window,W 8 k 21,20.2"
