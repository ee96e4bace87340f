#!/usr/bin/env python3
"""Renders chats with tools, tool calls and reasoning by the reference implementation of Jinja.

    pip install jinja2==3.1.6
    tools/make_tool_goldens.py

The environment is that of tools/make_template_goldens.py, in which Hugging Face transformers renders. Reads *.jinja in
tests/data/tool_templates, which are written in the style of well-known models, and writes goldens.json there: chats as
OpenAI's API takes them, and for every template its text of each, from the same chat as transformers takes it.
"""
import copy
import json
import pathlib

from make_template_goldens import BOS, EOS, jinja2, make_environment

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "tool_templates"

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather of a \"place\" <now> & later.", "parameters": {
        "type": "object", "properties": {
            "place": {"type": "string", "description": "Zürich or 東京"}, "days": {"type": "integer", "default": 3},
            "unit": {"type": "string", "enum": ["°C", "°F"]}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["place"]}}},
    {"type": "function", "function": {"name": "stop", "description": "Ends it.", "parameters": {"type": "object", "properties": {}},
                                      "strict": True, "x": [1.0, 1e100, -0.5, None, 9007199254740993]}},
]


def call(name, arguments, number):
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*items, content=None, **more):
    return {"role": "assistant", "content": content, **more, "tool_calls": list(items)}


def result(content, number, name):
    return {"role": "tool", "tool_call_id": f"call_{number}", "name": name, "content": content}


SYSTEM = {"role": "system", "content": "Use tools."}
QUESTION = {"role": "user", "content": "Weather in Zürich?"}
WEATHER = call("get_weather", "{\"place\": \"Zürich\", \"days\": 2, \"tags\": [\"a\\n\", null, 1.0, true], \"é\": {\"b\": {}}}", 1)
SUN = result("{\"sun\": \"9 h\", \"t\": [20.5, 7]}", 1, "get_weather")

CHATS = {
    "plain": {"messages": [SYSTEM, {"role": "user", "content": "Hello."}]},
    "tools": {"messages": [SYSTEM, QUESTION], "tools": TOOLS},
    "no_system": {"messages": [QUESTION], "tools": TOOLS[:1]},
    "called": {"messages": [SYSTEM, QUESTION, calls(WEATHER), SUN], "tools": TOOLS},
    "answered": {"messages": [SYSTEM, QUESTION, calls(WEATHER), SUN, {"role": "assistant", "content": "Sunny."},
                              {"role": "user", "content": "And <Bern>?"}], "tools": TOOLS},
    "two": {"messages": [QUESTION, calls(WEATHER, call("stop", "{}", 2), content=""), SUN, result("done", 2, "stop")], "tools": TOOLS},
    "said_and_called": {"messages": [QUESTION, calls(WEATHER, content="I look."), SUN], "tools": TOOLS},
    "reasoned": {"messages": [SYSTEM, QUESTION, calls(WEATHER, reasoning_content="It asks for\nthe weather."), SUN], "tools": TOOLS},
    "reasoned_before": {"messages": [QUESTION, {"role": "assistant", "content": "Sunny.", "reasoning_content": "I know it."},
                                     {"role": "user", "content": "Sure?"}]},
    "not_json": {"messages": [QUESTION, calls(call("stop", "{broken \"<|im_end|>\"", 1)), result("no", 1, "stop")], "tools": TOOLS},
    "no_arguments": {"messages": [QUESTION, calls(call("stop", "", 1)), result("", 1, "stop")], "tools": TOOLS},
    "object": {"messages": [QUESTION, calls(call("stop", {"b": 1, "a": "</tool_call>"}, 1)), result("ok", 1, "stop")], "tools": TOOLS},
    "result_without_call": {"messages": [QUESTION, result("x", 1, "stop")]},
}
# The variables of a template beside the chat, and what is particular in it: the member that holds reasoning, whether it
# joins arguments to texts, and which chats it leaves calls out of.
TEMPLATES = {
    "qwen3": {"variables": [{}, {"enable_thinking": False}], "reasoning": "reasoning_content"},
    "llama31": {"variables": [{}, {"date_string": "01 Jan 2025"}], "reasoning": "reasoning_content"},
    "harmony": {"variables": [{}, {"reasoning_effort": "high"}], "reasoning": "thinking"},
    "gemma4": {"variables": [{}, {"enable_thinking": True}], "reasoning": "reasoning_content"},
    # This one writes no calls of an answer that says something, too.
    "deepseek": {"variables": [{}], "reasoning": None, "text_arguments": True, "lost": ("two", "said_and_called")},
}


def as_object(arguments):
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments else {}
    except ValueError:
        return arguments


def for_transformers(messages, template):
    """A chat's messages as users of transformers write them."""
    messages = copy.deepcopy(messages)
    for message in messages:
        if "reasoning_content" in message:
            message[template["reasoning"]] = message.pop("reasoning_content")
        for item in message.get("tool_calls", []):
            function = item["function"]
            function["arguments"] = as_object(function["arguments"])
    return messages


def with_text_arguments(messages):
    messages = copy.deepcopy(messages)
    for message in messages:
        for item in message.get("tool_calls", []):
            if not isinstance(item["function"]["arguments"], str):
                item["function"]["arguments"] = json.dumps(item["function"]["arguments"], separators=(",", ":"))
    return messages


def render(env, source, template, chat, variables):
    text = template.get("text_arguments", False)
    messages = with_text_arguments(chat["messages"]) if text else for_transformers(chat["messages"], template)
    try:
        return {"output": env.from_string(source).render(
            messages=messages, tools=chat.get("tools"), documents=None, bos_token=BOS, eos_token=EOS, add_generation_prompt=True,
            **variables)}
    except jinja2.exceptions.TemplateError as error:
        return {"raised": str(error)}


def main():
    env = make_environment()
    goldens = []
    for name, template in TEMPLATES.items():
        source = (DATA / f"{name}.jinja").read_text(encoding="utf-8")
        for chat, given in CHATS.items():
            if "tools" in given and "tools" not in source.replace("tool_calls", ""):
                given = {"messages": given["messages"]}
            for variables in template["variables"]:
                lost = chat in template.get("lost", ())
                goldens.append({"template": name, "chat": chat, "tools": "tools" in given, "variables": variables,
                                **({"lost": True} if lost else render(env, source, template, given, variables))})
    lines = [f'"bos_token": {json.dumps(BOS)}', f'"eos_token": {json.dumps(EOS)}',
             '"chats": {\n' + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in CHATS.items()) + "\n}",
             '"goldens": [\n' + ",\n".join(json.dumps(g, ensure_ascii=False) for g in goldens) + "\n]"]
    out = DATA / "goldens.json"
    out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{out}: {len(goldens)} renderings, {sum('output' not in g for g in goldens)} of which are refused")


if __name__ == "__main__":
    main()
