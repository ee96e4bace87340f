"""Writes small GGUF files, right and wrong."""
import random
import struct

UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def typed(value):
    """Type number and bytes of a metadata value; a list holds strings or integers. A string may be bytes that are no text."""
    if isinstance(value, (str, bytes)):
        return STRING, text(value)
    if isinstance(value, float):
        return FLOAT32, struct.pack("<f", value)
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


def byte_model(context=256, end="</s>", extra=(), **changes):
    """A Llama of random weights that reads and writes single bytes: token n is byte n, and token 256 ends an answer. Control tokens
    named in `extra` follow; `changes` are of the metadata, with __ for a dot."""
    hidden, ffn, heads, layers, size = 32, 64, 2, 2, 16
    tokens = [*byte_tokens(), end, *extra]
    metadata = llama(llama__block_count=layers, llama__context_length=context, llama__attention__head_count_kv=1,
                     llama__attention__layer_norm_rms_epsilon=1e-5, llama__rope__freq_base=10000.0, tokenizer__ggml__model="gpt2",
                     tokenizer__ggml__pre="gpt-2", tokenizer__ggml__tokens=tokens, tokenizer__ggml__merges=[],
                     tokenizer__ggml__token_type=[1] * 256 + [3] * (1 + len(extra)), tokenizer__ggml__eos_token_id=256)
    metadata |= {key.replace("__", "."): value for key, value in changes.items()}
    shapes = {"token_embd": (hidden, len(tokens)), "output": (hidden, len(tokens)), "output_norm": (hidden,)}
    for layer in range(layers):
        for name, shape in (("attn_q", (hidden, hidden)), ("attn_k", (hidden, size)), ("attn_v", (hidden, size)),
                            ("attn_output", (hidden, heads * size)), ("ffn_gate", (hidden, ffn)), ("ffn_up", (hidden, ffn)),
                            ("ffn_down", (ffn, hidden)), ("attn_norm", (hidden,)), ("ffn_norm", (hidden,))):
            shapes[f"blk.{layer}.{name}"] = shape
    draw, tensors = random.Random(1), []
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = [draw.gauss(0, 0.3) if len(shape) == 2 else 1.0 for _ in range(count)]
        tensors.append((name + ".weight", shape, 0, struct.pack(f"<{count}f", *values)))
    return gguf(metadata, tensors)
