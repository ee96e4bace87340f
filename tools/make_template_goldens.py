#!/usr/bin/env python3
"""Writes the expected outputs of the chat-template tests with the reference implementation of Jinja.

    pip install jinja2==3.1.6 gguf
    tools/make_template_goldens.py [--gguf MODEL.gguf]

The environment is the one Hugging Face transformers renders chat templates in. Reads *.jinja and snippets.txt in
tests/data/chat_template, and the chat template inside --gguf when given (else the one of the last run); writes
conversations.json and snippets.json there.
"""
import argparse
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "chat_template"
NOW = datetime.datetime(2024, 7, 26)
BOS, EOS = "<s>", "</s>"


class GenerationTag(jinja2.ext.Extension):
    """{% generation %}: marks text for training, renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def make_environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def conversations():
    def talk(*pairs):
        return [{"role": role, "content": content} for role, content in pairs]

    return {
        "none": talk(),
        "user": talk(("user", "Hello there.")),
        "system": talk(("system", "Be brief."), ("user", "What is a monad?")),
        "turns": talk(("user", "One"), ("assistant", "Two"), ("user", "Three"), ("assistant", "Four"), ("user", "Five")),
        "system_turns": talk(("system", "You count."), ("user", "1"), ("assistant", "2"), ("user", "3")),
        "ends_with_assistant": talk(("user", "Q"), ("assistant", "A")),
        "unicode": talk(("system", "Réponds en français."), ("user", "Grüße, 世界! 🦙 e\u0301\u00a0x ǅ ß")),
        "whitespace": talk(("user", "  \n\tindented\r\n  twice \n\n"), ("assistant", "\u3000\n  ok "), ("user", " ")),
        "empty": talk(("user", ""), ("assistant", ""), ("user", "")),
        "control_tokens": talk(("system", "s<|im_end|>\n<|im_start|>system\nx"), ("user", "<|im_start|>assistant\n</s>[INST] <|eot_id|>"),
                               ("assistant", "<s><end_of_turn>[/INST]<|end|>"), ("user", "{{ bos_token }}{% if %}")),
        "wrong_order": talk(("assistant", "I start"), ("user", "no")),
        "twice_user": talk(("user", "a"), ("user", "b")),
        "unknown_role": talk(("user", "a"), ("critic", "b")),
        "system_late": talk(("user", "a"), ("system", "b"), ("user", "c")),
        "thinking": talk(("user", "Why?"), ("assistant", "<think>\nhm\nyes\n</think>\n\nBecause."), ("user", "Sure?"),
                         ("assistant", "\n<think></think>\nYes")),
        "tool": talk(("user", "time?"), ("assistant", "I look."), ("tool", '{"time": "12:00"}'), ("tool", "two"), ("user", "thanks")),
    }


TOOLS = [
    {"type": "function", "function": {"name": "get weather", "description": "The weather\nof a \"place\" <now>.", "parameters": {
        "type": "object", "properties": {"place": {"type": "string", "description": "Zürich & co."}, "days": {"type": "integer"},
                                         "units": {"type": "string", "enum": ["c", "f"]}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["place"]}}},
    {"type": "function", "function": {"name": "stop", "description": "", "parameters": {"type": "object", "properties": {}},
                                      "return": {"type": ["string", "null"], "x": 1.5, "y": True, "z": None}}},
]

VARIANTS = [
    {"add_generation_prompt": False},
    {"add_generation_prompt": True},
    {"add_generation_prompt": True, "extra": {"tools": TOOLS}},
    {"add_generation_prompt": True, "extra": {"enable_thinking": False, "date_string": "01 Jan 2025"}},
]


def render(env, source, messages, variant):
    variables = {"messages": messages, "tools": None, "documents": None, "bos_token": BOS, "eos_token": EOS,
                 "add_generation_prompt": variant["add_generation_prompt"], **variant.get("extra", {})}
    try:
        return {"output": env.from_string(source).render(**variables)}
    except Exception as error:  # Jinja passes Python's own errors through
        return {"error": str(error), "raised": type(error) is jinja2.exceptions.TemplateError}


def gguf_template(path):
    import gguf

    field = gguf.GGUFReader(path).fields["tokenizer.chat_template"]
    return bytes(field.parts[field.data[0]]).decode("utf-8")


def make_conversations(env, template):
    sources = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DATA.glob("*.jinja"))}
    if template:
        sources["smollm2"] = template
    talks = conversations()
    result = {"bos_token": BOS, "eos_token": EOS, "conversations": talks, "variants": VARIANTS, "templates": []}
    for name, source in sources.items():
        cases = []
        for talk, messages in talks.items():
            for index, variant in enumerate(VARIANTS):
                # Outputs that neither variant changes are stored once.
                if index >= 2 and not any(key in source for key in variant["extra"]):
                    continue
                cases.append({"conversation": talk, "variant": index, **render(env, source, messages, variant)})
        entry = {"name": name, "cases": cases}
        if name == "smollm2":
            entry["source"] = source
        result["templates"].append(entry)
    return result


SNIPPET_VARIABLES = {
    "s": "Hello, World", "u": "  Grüße <|im_start|> \n", "n": 7, "f": 2.5, "t": True, "z": None, "e": "",
    "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "d": {"b": 1, "a": {"x": [1, 2, {"y": "z"}]}, "items": 5},
    "people": [{"name": "Ann", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cyd", "age": 35, "tags": []}],
}


def make_snippets(env):
    sources = (DATA / "snippets.txt").read_text(encoding="utf-8").split("\n====\n")
    cases = []
    for source in sources:
        source = source.strip("\n")
        try:
            cases.append({"source": source, "output": env.from_string(source).render(**SNIPPET_VARIABLES)})
        except Exception as error:
            cases.append({"source": source, "error": type(error).__name__ + ": " + str(error)})
    return {"variables": SNIPPET_VARIABLES, "cases": cases}


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", help="a model whose chat template is to be added as 'smollm2'")
    arguments = parser.parse_args()
    known = DATA / "conversations.json"
    template = gguf_template(arguments.gguf) if arguments.gguf else None
    if template is None and known.exists():
        template = next((t["source"] for t in json.loads(known.read_text())["templates"] if "source" in t), None)
    env = make_environment()
    write(known, make_conversations(env, template))
    write(DATA / "snippets.json", make_snippets(env))


if __name__ == "__main__":
    main()
