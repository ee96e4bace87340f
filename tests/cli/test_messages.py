"""Whole chats by --messages: tools, tool calls and their results are in the prompt, or refused by their name."""
import json

import pytest

from test_chat import CHATML, chat  # noqa: F401  (a fixture)

WITH_TOOLS = ("{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
              "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
              "<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
              "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"where\": \"Zürich<|im_end|>\"}"}}
CHAT = {"tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
        "messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": None, "tool_calls": [CALL]},
                     {"role": "tool", "tool_call_id": "call_1", "content": "here"}]}
TEXT = ('[<|im_start|>]tools\n[{"type": "function", "function": {"name": "look", "parameters": {}}}][<|im_end|>]\n'
        "[<|im_start|>]user\nWhere?[<|im_end|>]\n"
        '[<|im_start|>]assistant\n<tool_call>look {"where": "Zürich<|im_end|>"}[<|im_end|>]\n'
        "[<|im_start|>]tool\nhere[<|im_end|>]\n[<|im_start|>]assistant\n")


@pytest.fixture
def file(tmp_path):
    def write(value):
        path = tmp_path / "chat.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        return path

    return write


def test_a_chat_with_tools(chat, claa, file):
    model = chat(WITH_TOOLS)
    path = file(CHAT)
    assert model.prompt("--messages", path) == TEXT
    assert model.prompt("--messages", path, "--answer-prefix", "It is") == TEXT + "It is"
    done = claa("trace", "-m", model.path, "--predict", 0, "--messages", "-", stdin=path.read_bytes())
    assert len(json.loads(done.stdout)["prompt_tokens"]) > 100
    done = claa("run", "-m", model.path, "-n", 1, "--messages", path, stdin="more")
    assert done.returncode == 0 and b"text on standard input is not read" in done.stderr


def test_messages_alone_and_variables(chat, file):
    model = chat(CHATML + "{{ mood }}")
    path = file([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}])
    assert model.prompt("--messages", path, "--chat-template-kwargs", '{"mood": "!"}').endswith("user\nc[<|im_end|>]\n[<|im_start|>]assistant\n!")


def test_a_system_message_that_moves(chat, refused, file):
    users = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    model = chat(users)
    path = file([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}])
    refused("run", "-m", model.path, "--messages", path, words=["--system-fallback"])
    assert model.prompt("--messages", path, "--system-fallback") == "s\n\nq"


@pytest.mark.parametrize("value, words", [
    ('{"messages": [{"role": "user", "content": "q"}]', ["chat.json", "line 1, byte 48"]),
    ("", ["chat.json", "no JSON"]),
    ({"messages": []}, ["no messages"]),
    ({"messages": [{"role": "user", "content": "q"}], "temperature": 1}, ["'temperature'"]),
    ([{"role": "user", "content": [{"type": "image_url"}]}], ["message 1", "image_url"]),
    ([{"role": "user", "content": None}], ["message 1 has no content"]),
])
def test_what_is_no_chat_is_refused_before_the_model_is_loaded(refused, file, value, words):
    refused("run", "-m", "no-such-model.gguf", "--messages", file(value), words=words)


def test_a_chat_in_another_encoding_is_refused(refused, tmp_path):
    path = tmp_path / "latin.json"
    path.write_bytes('[{"role": "user", "content": "caf\xe9"}]'.encode("latin-1"))
    refused("run", "-m", "no-such-model.gguf", "--messages", path, words=["not UTF-8", "iconv"])


@pytest.mark.parametrize("more, what", [(["q"], "the prompt"), (["-f", "x"], "--file"), (["--system", "s"], "--system"),
                                        (["--raw"], "--raw")])
def test_messages_are_the_whole_prompt(refused, file, more, what):
    refused("trace", "-m", "no-such-model.gguf", "--messages", file(CHAT), *more, words=["--messages", what])


def test_messages_beside_ids(refused, file, tmp_path):
    ids = tmp_path / "ids"
    ids.write_text("1 2")
    refused("run", "-m", "no-such-model.gguf", "--ids", ids, "--messages", file(CHAT), words=["leave out --messages"])


def test_what_the_template_has_no_place_for(chat, refused, file):
    model = chat(CHATML)
    refused("run", "-m", model.path, "--messages", file(CHAT), words=["no place for tools"])
    refused("run", "-m", model.path, "--messages", file(CHAT["messages"]), words=["leaves out tool call 1 of 1 in message 2"])
    refused("run", "-m", chat(None).path, "--messages", file(CHAT["messages"]), words=["messages need a chat template"])
    both = ("--chat-template-kwargs", '{"tools": []}')
    refused("run", "-m", chat(WITH_TOOLS).path, "--messages", file(CHAT), *both, words=["leave out one"])
