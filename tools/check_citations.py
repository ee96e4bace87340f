#!/usr/bin/env python3
"""Checks that what code, scripts and documents cite exists, so that no reader follows a number into nothing, and the form of pages.

Citations have three forms: `spec.md 2.2` names a section of docs/spec.md, `page.md#heading` a heading, `docs/decisions/NN` a
page of decisions. A bare "decision NN" is refused, except as the text of a link to that page. A page of docs/ begins with at most
three sentences and a table. A decision has at most 250 words, in the form context, choice, cost. The README names the page behind
every claim with a number, and no document tells of bars that only its writers know ("0.90 wanted").
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUFFIXES = {".cc", ".h", ".cu", ".cuh", ".in", ".py", ".sh", ".md", ".txt", ".cmake", ".json", ".html"}
LEFT_OUT = ("tests/data/", "fuzz/corpus/", "models/", "examples/document.txt", "assets/")
OWN = ("tools/check_citations.py", "tests/cli/test_citations.py")  # they quote what is refused

# Blanks, or the end of a comment line and the beginning of the next one.
GAP = r"(?:[ \t]+|[ \t]*\n[ \t]*(?://+|#+|\*)?[ \t]*)"
NUMBER = r"\d+(?:\.\d+)*"
SECTIONS = re.compile(rf"\bspec\.md,?{GAP}(?:sections?{GAP})?({NUMBER}(?:(?:,|{GAP}and|{GAP}to){GAP}{NUMBER})*)")
OLD_SECTION = re.compile(rf"\bmethods\.md,?{GAP}(?:sections?{GAP})?\d")
DECISION = re.compile(rf"(?<![\w/])decisions?{GAP}\(?(\d+)\b", re.I)
DECISION_PAGE = re.compile(r"docs/decisions/(\d+)")
PAGE_HEADING = re.compile(r"\b((?:docs/|[\w-]+/)*[\w-]+\.md)#([\w-]+)")
LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")
BAR = re.compile(rf"\([^()\n]*\bwanted\)|\bWanted{GAP}(?:was|were)\b")
MOST_DECISION_WORDS = 250
DECISION_PARTS = ("**Context.**", "**Choice.**", "**Cost.**")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
FIGURE = re.compile(r"\b\d+(?:\.\d+)?(?: ?%| times\b| ms\b| s\b| MiB\b| GB\b)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def tracked():
    names = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split("\n")
    return [name for name in names if name and not name.startswith(LEFT_OUT) and (ROOT / name).is_file()
            and (pathlib.Path(name).suffix in SUFFIXES or "/" not in name and "." not in name)]


def without_code(text):
    """The text with fenced blocks emptied, so that line numbers stay."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def headings(path):
    return [line.lstrip("#").strip() for line in without_code(path.read_text()).split("\n") if re.match(r"#{1,6} ", line)]


def anchors(path):
    """Anchors of a page's headings, as GitHub makes them."""
    result = set()
    for heading in headings(path):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        result.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return result


def spec_sections():
    numbers = (re.match(r"(\d+(?:\.\d+)*)\.? ", heading) for heading in headings(ROOT / "docs/spec.md"))
    return {number[1] for number in numbers if number}


class Checker:
    def __init__(self):
        self.problems = []
        self.citations = 0
        self.sections = spec_sections()
        self.decisions = {page.name.split("-")[0]: page for page in sorted((ROOT / "docs/decisions").glob("*.md"))}
        self.known_anchors = {}

    def report(self, name, text, at, message):
        self.problems.append(f"{name}:{text.count(chr(10), 0, at) + 1}: {message}")

    def has_anchor(self, page, anchor):
        if page not in self.known_anchors:
            self.known_anchors[page] = anchors(page)
        return anchor in self.known_anchors[page]

    def check_sections(self, name, text):
        for match in SECTIONS.finditer(text):
            for number in re.findall(NUMBER, match[1]):
                self.citations += 1
                if number not in self.sections:
                    self.report(name, text, match.start(), f"docs/spec.md has no section {number}")
        for match in OLD_SECTION.finditer(text):
            self.report(name, text, match.start(), "docs/methods.md has no numbered sections; cite docs/spec.md")

    def check_decisions(self, name, text):
        for match in DECISION_PAGE.finditer(text):
            self.citations += 1
            if match[1].zfill(2) not in self.decisions:
                self.report(name, text, match.start(), f"there is no page docs/decisions/{match[1]}")
        links = {}
        for match in LINK.finditer(text):
            links.update((at, match[2]) for at in range(match.start(), match.end()))
        for match in DECISION.finditer(text):
            target = links.get(match.start(1), "")
            if f"{match[1].zfill(2)}-" not in target:
                self.report(name, text, match.start(),
                            f"'decision {match[1]}' names no page; write docs/decisions/{match[1].zfill(2)}, or a link to it")

    def check_headings(self, name, text):
        for match in PAGE_HEADING.finditer(text):
            places = [ROOT / match[1], (ROOT / name).parent / match[1], ROOT / "docs" / match[1]]
            page = next((place for place in places if place.is_file()), None)
            self.citations += 1
            if page is None:
                self.report(name, text, match.start(), f"there is no page {match[1]}")
            elif not self.has_anchor(page, match[2]):
                self.report(name, text, match.start(), f"{match[1]} has no heading #{match[2]}")

    def check_own_headings(self, name, text):
        for match in LINK.finditer(without_code(text)):
            if match[2].startswith("#"):
                self.citations += 1
                if not self.has_anchor(ROOT / name, match[2][1:]):
                    self.report(name, text, match.start(), f"this page has no heading {match[2]}")

    def check_form(self, name, text):
        for match in BAR.finditer(text):
            self.report(name, text, match.start(), f"'{match[0]}' is a bar that no reader knows")
        if name.startswith("docs/decisions/"):
            words = len(text.split())
            if words > MOST_DECISION_WORDS:
                self.report(name, text, 0, f"{words} words, more than {MOST_DECISION_WORDS}")
            places = [text.find(part) for part in DECISION_PARTS]
            if -1 in places or places != sorted(places):
                self.report(name, text, 0, "a decision has the parts " + " ".join(DECISION_PARTS))
        elif name.startswith("docs/"):
            blocks = [block for block in re.split(r"\n\s*\n", text) if block.strip()]
            if len(SENTENCE_END.findall(re.sub(r"`[^`]*`|\]\([^)]*\)", "", blocks[1]))) > 3:
                self.report(name, text, text.find(blocks[1]), "a page begins with at most three sentences")
            if not blocks[2].startswith("|"):
                self.report(name, text, text.find(blocks[2]), "a page begins with sentences and then a table")
        elif name == "README.md":
            for block in re.split(r"\n\s*\n", without_code(text)):
                if FIGURE.search(block) and not block.startswith("|") and "](" not in block:
                    self.report(name, text, text.find(block), "a claim with a number names its page")

    def check(self, name):
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        self.check_sections(name, text)
        self.check_decisions(name, text)
        self.check_headings(name, text)
        if name.endswith(".md"):
            self.check_own_headings(name, text)
            self.check_form(name, text)


def main():
    checker, names = Checker(), tracked()
    for name in names:
        if name not in OWN:
            checker.check(name)
    print("\n".join(checker.problems) if checker.problems else
          f"{checker.citations} citations in {len(names)} files lead somewhere, and the pages keep their form")
    return 1 if checker.problems else 0


if __name__ == "__main__":
    sys.exit(main())
