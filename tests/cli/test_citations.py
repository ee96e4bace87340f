"""tools/check_citations.py on a small repository: what it accepts, and each kind of mistake that it must find."""
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

PAGE = "# Page\n\nOne sentence.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n## A heading: with `code`\n\nText.\n"
DECISION = "# A choice\n\n**Context.** It had to be.\n\n**Choice.** This.\n\n**Cost.** Little.\n"
FILES = {
    "docs/spec.md": "# Specification\n\nOne.\n\n| a |\n|---|\n\n## 2. Scores\n\n### 2.2 Window scores\n\n### 2.4 Selection\n",
    "docs/page.md": PAGE,
    "docs/decisions/07-keys.md": DECISION,
    "README.md": "# Name\n\nIt is 3 times as fast ([page](docs/page.md#a-heading-with-code)).\n",
    "src/a.cc": "// The rule of spec.md 2.2,\n// 2.4 and docs/decisions/07, explained in docs/page.md#a-heading-with-code.\n",
}


def check(folder, **changes):
    for name, text in {**FILES, **changes}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "tools").mkdir(exist_ok=True)
    shutil.copy(ROOT / "tools/check_citations.py", folder / "tools")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return subprocess.run([sys.executable, folder / "tools/check_citations.py"], capture_output=True, text=True)


def test_citations_that_lead_somewhere(tmp_path):
    done = check(tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("5 citations in ")


@pytest.mark.parametrize("name,text,message", [
    ("src/b.cc", "// See spec.md 2.3.\n", "src/b.cc:1: docs/spec.md has no section 2.3"),
    ("src/b.cc", "\n// See spec.md 2.2 and\n// 9.\n", "src/b.cc:2: docs/spec.md has no section 9"),
    ("src/b.cc", "// See methods.md 2.2.\n", "cite docs/spec.md"),
    ("tools/b.py", "# of docs/decisions/8\n", "there is no page docs/decisions/8"),
    ("src/b.cc", "// tied (decision\n// 7).\n", "names no page; write docs/decisions/07"),
    ("docs/b.md", PAGE + "\n[decision 8](decisions/07-keys.md)\n", "'decision 8' names no page"),
    ("docs/b.md", PAGE + "\nSee [this](page.md#nothing).\n", "page.md has no heading #nothing"),
    ("docs/b.md", PAGE + "\nSee [this](#nothing).\n", "this page has no heading #nothing"),
    ("docs/b.md", PAGE + "\nIt takes 0.9 (0.8 wanted).\n", "is a bar that no reader knows"),
    ("docs/b.md", PAGE.replace("One sentence.", "One. Two. Three. Four."), "at most three sentences"),
    ("docs/b.md", PAGE.replace("One sentence.", "One sentence.\n\nAnother paragraph."), "sentences and then a table"),
    ("docs/decisions/08-b.md", DECISION.replace("**Cost.**", "Cost:"), "a decision has the parts"),
    ("docs/decisions/08-b.md", DECISION + "word " * 250, "more than 250"),
    ("README.md", "# Name\n\nIt is 3 times as fast.\n", "a claim with a number names its page"),
])
def test_mistakes_are_found(tmp_path, name, text, message):
    done = check(tmp_path, **{name: text})
    assert done.returncode == 1
    assert message in done.stdout and len(done.stdout.strip().splitlines()) == 1, done.stdout
