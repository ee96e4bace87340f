#!/usr/bin/env python3
"""Renders the corpus of chat templates with the reference implementation of Jinja.

    pip install jinja2==3.1.6
    tools/make_template_corpus.py

The environment is that of tools/make_template_goldens.py, in which Hugging Face transformers renders. Reads *.jinja in
tests/data/template_corpus, and writes corpus.json there: the conversations, and for every template what each of them
gives, or that it fails.
"""
import json
import pathlib

from make_template_goldens import BOS, EOS, TOOLS, jinja2, make_environment

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "template_corpus"


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, number):
    return {"type": "function", "id": f"call{number:05}", "function": {"name": name, "arguments": arguments}}


def parts(*items):
    return [{"type": "image"} if item is None else {"type": "text", "text": item} for item in items]


CONVERSATIONS = {
    "user": [message("user", "Hello there.")],
    "system": [message("system", " Be brief.\n"), message("user", "What is a monad?")],
    "turns": [message("user", "One"), message("assistant", "Two"), message("user", "Three\n\nlines <b> & \"quotes\""),
              message("assistant", "Four"), message("user", "Five")],
    "ends_with_assistant": [message("system", "You count."), message("user", "1"), message("assistant", "2")],
    "unicode": [message("system", "Réponds."), message("user", "  Grüße, 世界! 🦙\t\n")],
    "empty": [message("system", ""), message("user", ""), message("assistant", ""), message("user", " \n")],
    "parts": [message("system", parts("Look.")), message("user", parts(None, "What is it?", " Say it.")),
              message("assistant", parts("A cat.")), message("user", parts("Sure?"))],
    "user_parts": [message("system", "Look."), message("user", parts("What", None))],
    "tools": [message("system", "Use tools."), message("user", "Weather?"),
              message("assistant", None, tool_calls=[call("get_weather", {"place": "Zürich", "days": 2}, 1)]),
              message("tool", "{\"sun\": true}", name="get_weather", tool_call_id="call00001"),
              message("assistant", "Sunny."), message("user", "And in <Bern>?")],
    "two_calls": [message("user", "Both?"),
                  message("assistant", "", tool_calls=[call("a", {"x": [1, None]}, 1), call("b", {}, 2)]),
                  message("tool", "first", tool_call_id="call00001"), message("tool", "second", tool_call_id="call00002")],
    "thinking": [message("user", "Why?"), message("assistant", "<think>\nhm\n</think>\n\nBecause.\n"), message("user", "Sure?"),
                 message("assistant", "Yes.", reasoning_content="\nI said so.\n")],
    "switch": [message("system", "Be kind. /no_think"), message("user", "Hi /think")],
    "wrong_order": [message("assistant", "I start"), message("user", "a"), message("user", "b"), message("critic", "c")],
}
DOCUMENTS = [{"title": "Bees", "text": "They hum."}, {"title": "Ants", "text": "They\nwalk."}]
# The variables of each case beside the conversation.
CASES = [
    *((name, {"add_generation_prompt": True}) for name in CONVERSATIONS),
    ("turns", {"add_generation_prompt": False}),
    ("thinking", {"add_generation_prompt": False, "enable_thinking": False}),
    ("user", {"add_generation_prompt": True, "enable_thinking": False}),
    ("tools", {"add_generation_prompt": True, "tools": TOOLS}),
    ("user", {"add_generation_prompt": True, "tools": TOOLS[:1], "documents": DOCUMENTS, "controls": {"citations": True}}),
    ("system", {"add_generation_prompt": True, "documents": DOCUMENTS, "date_string": "01 Jan 2025"}),
    ("parts", {"add_generation_prompt": False, "add_vision_id": True}),
]


def render(env, source, name, variables):
    given = {"messages": CONVERSATIONS[name], "tools": None, "documents": None, "bos_token": BOS, "eos_token": EOS, **variables}
    try:
        return {"output": env.from_string(source).render(**given)}
    except Exception as error:  # Jinja passes Python's own errors through
        raised = type(error) is jinja2.exceptions.TemplateError
        return {"raised": str(error)} if raised else {"fails": type(error).__name__}


def main():
    env = make_environment()
    templates = []
    for path in sorted(DATA.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        results, seen = [], set()
        for index, (name, variables) in enumerate(CASES):
            result = render(env, source, name, variables)
            # What variables do not change is stored once.
            key = (name, json.dumps(result))
            if key not in seen:
                results.append({"case": index, **result})
            seen.add(key)
        templates.append({"name": path.stem, "results": results})
    lines = [f'"bos_token": {json.dumps(BOS)}', f'"eos_token": {json.dumps(EOS)}',
             '"conversations": ' + json.dumps(CONVERSATIONS, ensure_ascii=False),
             '"cases": ' + json.dumps([{"conversation": name, "variables": given} for name, given in CASES], ensure_ascii=False),
             '"templates": [\n' + ",\n".join(json.dumps(t, ensure_ascii=False) for t in templates) + "\n]"]
    out = DATA / "corpus.json"
    out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    count = sum(len(t["results"]) for t in templates)
    failed = sum("output" not in r for t in templates for r in t["results"])
    print(f"{out}: {len(templates)} templates, {count} renderings, {failed} of which fail")


if __name__ == "__main__":
    main()
