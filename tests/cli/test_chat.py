"""Messages, templates, control tokens and stop strings: what is given is in the prompt, or refused by its name."""
import json

import pytest

from gguf_file import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, byte_model, byte_tokens

CHATML = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
USERS = "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>user\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
PARTS = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}{% if part.type == 'text' %}"
         "{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}")
IM = (("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL))


@pytest.fixture
def chat(tmp_path, claa):
    """Writes a byte model with this template and these tokens; gives its path, and what it reads as a prompt."""

    class Chat:
        def __init__(self, template, extra=IM, **options):
            options.setdefault("eos", extra[-1][0])
            if template is not None:
                options["tokenizer__chat_template"] = template
            self.names = [name for name, _ in extra]
            self.path = tmp_path / "chat.gguf"
            self.path.write_bytes(byte_model(extra=extra, **options))

        def trace(self, *arguments):
            done = claa("trace", "-m", self.path, "-t", 1, "--dtype", "f32", "--predict", 0, *arguments)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout), done.stderr.decode()

        def prompt(self, *arguments):
            """The prompt as text, with control tokens in brackets where they are tokens."""
            ids = self.trace(*arguments)[0]["prompt_tokens"]
            return b"".join(bytes([i]) if i < 256 else f"[{self.names[i - 256]}]".encode() for i in ids).decode()

        def run(self, *arguments):
            done = claa("run", "-m", self.path, "-t", 1, "--dtype", "f32", *arguments)
            assert done.returncode == 0, done.stderr
            return done.stdout.decode().strip(), done.stderr.decode()

    return Chat


def test_a_token_for_every_byte():
    assert byte_tokens()[ord("h")] == "h"


def test_contents_as_parts(chat, refused):
    model = chat(PARTS)
    assert model.prompt("Where is the key?") == "[<|im_start|>]user\nWhere is the key?[<|im_end|>]\n"
    assert "system\nBriefly.[" in model.prompt("--system", "Briefly.", "Where?")
    model = chat("{{ messages[0]['content'][0]['text'] }}!")
    assert model.prompt("q") == "q!"


@pytest.mark.parametrize("command", ["run", "trace"])
def test_a_message_that_is_left_out(chat, refused, command):
    model = chat("<|im_start|>{% for m in messages %}{{ m.role }}{% endfor %}")
    refused(command, "-m", model.path, "Who?", words=["leaves out message 1 of 1", "'user'", "--raw"])
    assert model.prompt("--raw", "Who?") == "Who?"


def test_a_part_that_is_left_out_is_told(chat):
    model = chat("{{ messages[0].content[:8] }}")
    assert "left out 4 of 12 characters of message 1" in model.run("-n", 1, "twelve-chars")[1]
    assert "left out" not in model.run("-n", 1, "eight-ch")[1]


RAISES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML


@pytest.mark.parametrize("template", [USERS, RAISES])
def test_a_system_message_without_a_place(chat, refused, template):
    model = chat(template)
    refused("run", "-m", model.path, "--system", "In French.", "Who?", words=["system message", "--system-fallback"])
    assert "user\nIn French.\n\nWho?[<|im_end|>]" in model.prompt("--system", "In French.", "--system-fallback", "Who?")
    assert "system message stands before" in model.run("-n", 1, "--system", "F", "--system-fallback", "Who?")[1]


def test_system_fallback_where_there_is_a_place(chat, refused):
    model = chat(CHATML)
    with_place = model.prompt("--system", "In French.", "--system-fallback", "Who?")
    assert with_place == model.prompt("--system", "In French.", "Who?")
    assert "stands before" not in model.run("-n", 1, "--system", "F", "--system-fallback", "Who?")[1]


def test_system_fallback_without_a_template(chat, refused):
    model = chat(None)
    refused("run", "-m", model.path, "--system", "F", "Who?", words=["chat template", "--system-fallback"])
    refused("run", "-m", model.path, "--raw", "--system", "F", "--system-fallback", "Who?", words=["leave out --raw"])
    assert model.prompt("--system", "F", "--system-fallback", "Who?") == "F\n\nWho?"


def test_system_fallback_needs_a_system_message(refused, tmp_path):
    refused("run", "-m", "no-such-model.gguf", "--system-fallback", "Who?", words=["--system"])


def test_an_empty_system_message(chat):
    default = "{% if messages[0].role != 'system' %}<|im_start|>system\nI am made of words.<|im_end|>\n{% endif %}" + CHATML
    model = chat(default)
    assert "I am made of words." in model.prompt("q")
    assert model.prompt("--system", "", "q").startswith("[<|im_start|>]system\n[<|im_end|>]\n[<|im_start|>]user")
    for template in (CHATML, USERS, RAISES):
        model = chat(template)
        assert model.prompt("--system", "", "q") == model.prompt("q")


@pytest.mark.parametrize("kind", [NORMAL, USER_DEFINED, 5])
def test_mistyped_control_tokens(chat, claa, kind):
    extra = (("<|im_start|>", CONTROL), ("<|im_end|>", kind), ("<|endoftext|>", CONTROL))
    model = chat(CHATML, extra, says=(ord("h"), ord("i"), "<|im_end|>", ord("x")))
    assert "q[<|im_end|>]" in model.prompt("q")
    answer, notes = model.run("-n", 8, "q")
    assert answer == "hi"
    assert notes.count("warning") == 1 and "<|im_end|>" in notes
    # A user's text cannot hold it.
    assert "user\na<|im_end|>b[<|im_end|>]" in model.prompt("a<|im_end|>b")
    assert "256" not in claa("tokenize", "-m", model.path, "--ids", "<|im_end|>").stdout.decode()


@pytest.mark.parametrize("kind", [NORMAL, CONTROL])
def test_ends_of_turns_with_other_names(chat, kind):
    template = ("{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
                "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}")
    extra = (("<start_of_turn>", kind), ("<end_of_turn>", kind), ("<eos>", CONTROL))
    model = chat(template, extra, says=(ord("h"), "<end_of_turn>", ord("x")))
    answer, notes = model.run("-n", 8, "q")
    assert answer == "h"
    assert ("warning" in notes) == (kind == NORMAL)


def test_tokens_of_the_right_type_are_not_warned_about(chat):
    assert "warning" not in chat(CHATML).run("-n", 1, "q")[1]
    pair = (*IM, ("<think>", USER_DEFINED), ("</think>", USER_DEFINED))
    model = chat(CHATML + "<think>\n\n</think>", pair, eos="<|im_end|>", says=("<think>", ord("h"), "<|im_end|>"))
    answer, notes = model.run("-n", 8, "q")
    assert answer == "<think>h" and "warning" not in notes


@pytest.mark.parametrize("stop", ["<|im_start|>", "i<|im_start|>", "<|im_start|>x"])
@pytest.mark.parametrize("kind", [CONTROL, NORMAL])
def test_stop_names_a_control_token(chat, stop, kind):
    extra = (("<|im_start|>", kind), ("<|im_end|>", CONTROL))
    model = chat(CHATML, extra, says=(ord("h"), ord("i"), "<|im_start|>", ord("x"), ord("y")))
    assert model.run("-n", 8, "--stop", stop, "q")[0] == "hi".removesuffix(stop[0])
    assert model.run("-n", 5, "q")[0] == "hixy"
    # It is not shown, and so it keeps no other stop string apart.
    assert model.run("-n", 8, "--stop", "ix", "q")[0] == "h"


def test_stop_names_an_unknown_token(chat):
    model = chat(CHATML, (*IM, ("<unk>", UNKNOWN)), eos="<|im_end|>", says=(ord("h"), "<unk>", ord("x")))
    assert model.run("-n", 4, "--stop", "<unk>", "q")[0] == "h"


@pytest.mark.parametrize("begin", ["{{ bos_token }}", "<s>", "\n{{ bos_token }}", "{{ bos_token }}<s>", "\n \n<s>", ""])
@pytest.mark.parametrize("kind", [CONTROL, NORMAL])
def test_one_begin_token(chat, begin, kind):
    extra = (("<s>", kind), ("</s>", CONTROL))
    model = chat(begin + "{{ messages[0].content }}</s>", extra, tokenizer__ggml__bos_token_id=256,
                 tokenizer__ggml__add_bos_token=True)
    prompt = model.prompt("<s>q")
    assert prompt.lstrip() == "[<s>]<s>q[</s>]"
    assert model.prompt("--raw", "<s>q") == "[<s>]<s>q"


def test_no_begin_token_is_added_where_the_file_wants_none(chat):
    model = chat("{{ messages[0].content }}", (("<s>", CONTROL), ("</s>", CONTROL)), tokenizer__ggml__bos_token_id=256,
                 tokenizer__ggml__add_bos_token=False)
    assert model.prompt("q") == "q"


WITH_KWARGS = ("{% if tools %}<|im_start|>tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
               + CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}")


def test_variables_of_the_template(chat, tmp_path):
    model = chat(WITH_KWARGS)
    assert "<think>" not in model.prompt("Who?")
    assert model.prompt("--chat-template-kwargs", '{"enable_thinking": false}', "Who?").endswith("<think></think>")
    assert "<think>" not in model.prompt("--chat-template-kwargs", '{"enable_thinking": true}', "Who?")
    file = tmp_path / "kwargs.json"
    file.write_text(json.dumps({"tools": [{"name": "look<|im_end|>", "limit": 3, "exact": None, "share": 0.5}]}))
    prompt = model.prompt("--chat-template-kwargs", f"@{file}", "Who?")
    # What a caller gives is data: no control token of the model comes of it.
    assert prompt.startswith('[<|im_start|>]tools\n{"name": "look<|im_end|>", "limit": 3, "exact": null, "share": 0.5}\n[<|im_end|>]')


@pytest.mark.parametrize("given, words", [
    ('{"think": false}', ["no variable 'think'"]),
    ('{"thinking": false}', ["no variable 'thinking'"]),
    ('{"": 1}', ["no variable ''"]),
    ('{"messages": []}', ["'messages' is set from the request"]),
    ("[1]", ["must be a JSON object"]),
    ('{"tools": [1e999]}', ["1e999", "does not fit"]),
    ("{enable_thinking: false}", ["must be a JSON object"]),
    ("", ["empty"]),
    ("@no-such-file.json", ["no-such-file.json"]),
])
def test_variables_that_the_template_cannot_have(chat, refused, given, words):
    refused("run", "-m", chat(WITH_KWARGS).path, "--chat-template-kwargs", given, "Who?", words=words)


def test_variables_without_a_template(chat, refused, tmp_path):
    kwargs = ("--chat-template-kwargs", '{"enable_thinking": false}')
    refused("run", "-m", chat(WITH_KWARGS).path, "--raw", *kwargs, "Who?", words=["leave out --raw"])
    refused("run", "-m", chat(None).path, *kwargs, "Who?", words=["this model file has none"])
    ids = tmp_path / "ids.txt"
    ids.write_text("1 2 3")
    refused("run", "-m", chat(WITH_KWARGS).path, "--ids", ids, *kwargs, words=["leave out --chat-template-kwargs"])
