"""A description and its arrays in one safetensors file: what models are stored in, never pickle.

The safetensors metadata holds two strings:

``gpuclust``
    A JSON object.
``sha256``
    The SHA-256 of that JSON text and of every tensor's name, dtype, shape and bytes.

safetensors itself notices a broken header but no flipped bit in a tensor; the checksum notices both. It protects
against accidents. Against malice, reading runs no code from the file: only numbers and strings come out of it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from gpuclust.errors import ModelError

__all__ = ["checksum", "pack", "unpack"]

_MAX_HEADER = 1 << 24  # bytes of JSON; room for some hundred thousand feature names


def pack(described: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    """The bytes of a file that holds a JSON object and named C-contiguous arrays, always the same ones for the same."""
    from safetensors.numpy import save

    text = json.dumps(described, default=np.generic.item)  # NumPy's numbers are numbers
    content = save(tensors, {"gpuclust": text, "sha256": checksum(text, tensors)})
    # safetensors leaves the order of the metadata to chance.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    line = json.dumps(header, separators=(",", ":")).encode()
    line += b" " * (-len(line) % 8)  # arrays begin at multiples of eight bytes
    return len(line).to_bytes(8, "little") + line + content[end:]


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The JSON object and the arrays, read-only, of which ``pack`` made the bytes.

    Raises
    ------
    ModelError
        Another kind of file, or one that is corrupt in any bit. The message goes on after the name of the file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(_MAX_HEADER, len(content) - 8):
        raise ModelError("is not a gpuclust file: it does not start with the header of a safetensors file.")
    try:
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        text, stored = metadata["gpuclust"], metadata["sha256"]
        tensors = load(content)
        intact = checksum(text, tensors) == stored
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"is not a gpuclust file, or it is corrupt ({type(error).__name__}: {error}).") from error
    if not intact:
        raise ModelError("is corrupt: its contents do not match their SHA-256.")
    try:
        return dict(json.loads(text)), tensors
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"is inconsistent ({type(error).__name__}: {error}).") from error


def checksum(text: str, tensors: dict[str, np.ndarray]) -> str:
    """The SHA-256 of a text and of every array's name, dtype, shape and bytes, in hexadecimal."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"\n{name} {tensors[name].dtype.str} {tensors[name].shape}\n".encode())
        digest.update(tensors[name].data)
    return digest.hexdigest()
