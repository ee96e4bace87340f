"""Writes small GGUF files, right and wrong, for the tests of refusals."""
import struct

UINT32, STRING = 4, 8


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(metadata, tensors=(), version=3):
    """tensors: (name, shape, type number, data)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        if isinstance(value, str):
            out += text(key) + struct.pack("<I", STRING) + text(value)
        else:
            out += text(key) + struct.pack("<II", UINT32, value)
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
