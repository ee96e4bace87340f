"""Results of `claa eval` for the tools beside this file: answers by configuration, macro averages with bootstrap intervals."""
import json
import pathlib
import random

RESAMPLES = 2000


def read_answers(path):
    """{configuration: {example's index: result}} of what was answered."""
    answers = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()[1:]:
        result = json.loads(line)
        if result["status"] == "ok":
            answers.setdefault(result["configuration"], {})[result["index"]] = result
    return answers


def by_task(results):
    """{task: scores x 100} of an iterable of (task, score in 0..1)."""
    tasks = {}
    for task, score in results:
        tasks.setdefault(task, []).append(100 * score)
    return tasks


def macro(tasks):
    """Mean of the tasks' means."""
    return sum(sum(scores) / len(scores) for scores in tasks.values()) / len(tasks)


def drawn(tasks, source):
    return {task: [scores[source.randrange(len(scores))] for _ in scores] for task, scores in tasks.items()}


def interval(statistic, *samples, seed=1):
    """95 % percentiles of a statistic of one or more {task: scores}, each resampled within its tasks."""
    source = random.Random(seed)
    values = sorted(statistic(*(drawn(tasks, source) for tasks in samples)) for _ in range(RESAMPLES))
    return values[int(0.025 * RESAMPLES)], values[int(0.975 * RESAMPLES) - 1]


def with_interval(statistic, *samples, sign=""):
    return "{:{s}.1f} [{:{s}.1f}, {:{s}.1f}]".format(statistic(*samples), *interval(statistic, *samples), s=sign)
