"""Writes small GGUF files, right and wrong."""
import random
import struct

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # types of tokens


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def typed(value):
    """Type number and bytes of a metadata value; a list holds strings or integers. A string may be bytes that are no text."""
    if isinstance(value, (str, bytes)):
        return STRING, text(value)
    if isinstance(value, float):
        return FLOAT32, struct.pack("<f", value)
    if isinstance(value, bool):
        return BOOL, struct.pack("<?", value)
    if isinstance(value, list):
        strings = any(isinstance(item, (str, bytes)) for item in value) or not value
        items = [text(item) if strings else struct.pack("<i", item) for item in value]
        return ARRAY, struct.pack("<IQ", STRING if strings else INT32, len(items)) + b"".join(items)
    return UINT32, struct.pack("<I", value)


def gguf(metadata, tensors=(), version=3):
    """tensors: (name, shape, type number, data)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, data = typed(value)
        out += text(key) + struct.pack("<I", kind) + data
    offset, blobs = 0, b""
    for name, shape, kind, data in tensors:
        out += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        out += struct.pack("<IQ", kind, offset)
        data += b"\0" * (-len(data) % 32)
        blobs += data
        offset += len(data)
    return out + b"\0" * (-len(out) % 32) + blobs


def llama(**changes):
    """Metadata of a tiny Llama; a value of None leaves a key out."""
    values = {
        "general.architecture": "llama", "general.name": "tiny", "llama.block_count": 1, "llama.embedding_length": 32,
        "llama.feed_forward_length": 64, "llama.attention.head_count": 2, "llama.context_length": 64,
    }
    values.update({key.replace("__", "."): value for key, value in changes.items()})
    return {key: value for key, value in values.items() if value is not None}


def byte_tokens():
    """GPT-2's alphabet: a printable character for every byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def byte_model(context=256, extra=(("</s>", CONTROL),), eos="</s>", says=(), **metadata):
    """A Llama that reads and writes single bytes: token n is byte n, and those in `extra`, (name, type), come after.

    Its weights are random; or it says the tokens `says` (ids or names) one after another, whatever it reads, and then the
    last of them again and again. `metadata` adds keys, with __ for a dot, or replaces them.
    """
    hidden, ffn, heads, layers, size = 32, 64, 2, 2, 16
    tokens = [*byte_tokens(), *(name for name, _ in extra)]
    values = llama(llama__block_count=layers, llama__context_length=context, llama__attention__head_count_kv=1,
                   llama__attention__layer_norm_rms_epsilon=1e-5, llama__rope__freq_base=10000.0, tokenizer__ggml__model="gpt2",
                   tokenizer__ggml__pre="gpt-2", tokenizer__ggml__tokens=tokens, tokenizer__ggml__merges=[],
                   tokenizer__ggml__token_type=[NORMAL] * 256 + [kind for _, kind in extra],
                   tokenizer__ggml__eos_token_id=tokens.index(eos) if eos else None)
    values |= {key.replace("__", "."): value for key, value in metadata.items()}
    shapes = {"token_embd": (hidden, len(tokens)), "output": (hidden, len(tokens)), "output_norm": (hidden,)}
    for layer in range(layers):
        for name, shape in (("attn_q", (hidden, hidden)), ("attn_k", (hidden, size)), ("attn_v", (hidden, size)),
                            ("attn_output", (hidden, heads * size)), ("ffn_gate", (hidden, ffn)), ("ffn_up", (hidden, ffn)),
                            ("ffn_down", (ffn, hidden)), ("attn_norm", (hidden,)), ("ffn_norm", (hidden,))):
            shapes[f"blk.{layer}.{name}"] = shape
    spoken = [tokens.index(t) if isinstance(t, str) else t for t in says]
    script = (lambda name, weights: scripted(name, weights, hidden, spoken)) if says else None
    return gguf(values, random_tensors(shapes, script))


def random_tensors(shapes, change=None):
    """Tensors of F32 by name; `change(name, weights)` gives other weights than those drawn."""
    draw, tensors = random.Random(1), []
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        weights = [draw.gauss(0, 0.3) if len(shape) == 2 else 1.0 for _ in range(count)]
        if change:
            weights = change(name, weights)
        tensors.append((name + ".weight", shape, 0, struct.pack(f"<{count}f", *weights)))
    return tensors


def windowed_model(layers=3, every=2):
    """A Gemma 3 of random weights that reads and writes single bytes. Every n-th layer sees all; or a list says which has a window."""
    hidden, ffn, size, window, tokens = 32, 64, 16, 8, [*byte_tokens(), "</s>"]
    values = {"general.architecture": "gemma3", "general.name": "tiny", "gemma3.block_count": layers, "gemma3.embedding_length": hidden,
              "gemma3.feed_forward_length": ffn, "gemma3.attention.head_count": 2, "gemma3.attention.head_count_kv": 1,
              "gemma3.attention.key_length": size, "gemma3.attention.value_length": size, "gemma3.context_length": 512,
              "gemma3.attention.sliding_window": window, "gemma3.attention.sliding_window_pattern": every,
              "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": tokens,
              "tokenizer.ggml.merges": [], "tokenizer.ggml.token_type": [NORMAL] * 256 + [CONTROL],
              "tokenizer.ggml.eos_token_id": 256}
    shapes = {"token_embd": (hidden, len(tokens)), "output_norm": (hidden,)}
    for layer in range(layers):
        for name, shape in (("attn_q", (hidden, 2 * size)), ("attn_k", (hidden, size)), ("attn_v", (hidden, size)),
                            ("attn_output", (2 * size, hidden)), ("ffn_gate", (hidden, ffn)), ("ffn_up", (hidden, ffn)),
                            ("ffn_down", (ffn, hidden)), ("attn_norm", (hidden,)), ("ffn_norm", (hidden,)),
                            ("attn_q_norm", (size,)), ("attn_k_norm", (size,)), ("post_attention_norm", (hidden,)),
                            ("post_ffw_norm", (hidden,))):
            shapes[f"blk.{layer}.{name}"] = shape
    return gguf(values, random_tensors(shapes))


def sharing_model():
    """A Gemma 4 of random weights that reads and writes single bytes. Of its five layers the last two read K and V of those before."""
    hidden, ffn, size, of_windows, tokens = 32, 64, 32, 16, [*byte_tokens(), "</s>"]
    windows = [False, True, False, True, False]
    values = {"general.architecture": "gemma4", "general.name": "tiny", "gemma4.block_count": len(windows),
              "gemma4.embedding_length": hidden, "gemma4.feed_forward_length": ffn, "gemma4.attention.head_count": 2,
              "gemma4.attention.head_count_kv": 1, "gemma4.attention.key_length": size, "gemma4.attention.value_length": size,
              "gemma4.attention.key_length_swa": of_windows, "gemma4.context_length": 512, "gemma4.attention.sliding_window": 8,
              "gemma4.attention.sliding_window_pattern": windows, "gemma4.attention.shared_kv_layers": 2,
              "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": tokens,
              "tokenizer.ggml.merges": [], "tokenizer.ggml.token_type": [NORMAL] * 256 + [CONTROL],
              "tokenizer.ggml.eos_token_id": 256}
    shapes = {"token_embd": (hidden, len(tokens)), "output_norm": (hidden,)}
    for layer, windowed in enumerate(windows):
        head = of_windows if windowed else size
        of_keys = (("attn_k", (hidden, head)), ("attn_v", (hidden, head)), ("attn_k_norm", (head,))) if layer < 3 else ()
        for name, shape in (("attn_q", (hidden, 2 * head)), ("attn_output", (2 * head, hidden)), ("ffn_gate", (hidden, ffn)),
                            ("ffn_up", (hidden, ffn)), ("ffn_down", (ffn, hidden)), ("attn_norm", (hidden,)), ("ffn_norm", (hidden,)),
                            ("attn_q_norm", (head,)), ("post_attention_norm", (hidden,)), ("post_ffw_norm", (hidden,)), *of_keys):
            shapes[f"blk.{layer}.{name}"] = shape
    return gguf(values, random_tensors(shapes))


def scripted(name, weights, hidden, says):
    """The weights of a tensor of a model that says `says`: a token's embedding alone decides what comes next."""
    if name.endswith(("attn_output", "ffn_down")):
        return [0.0] * len(weights)
    if name not in ("token_embd", "output"):
        return weights
    rows = [[0.0] * hidden for _ in range(len(weights) // hidden)]
    if name == "token_embd":
        for token, row in enumerate(rows):
            row[says.index(token) + 1 if token in says else 0] = 1.0
    else:
        for place, token in enumerate([*says, says[-1]]):
            rows[token][place] = 1.0
    return [value for row in rows for value in row]
