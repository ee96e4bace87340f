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
