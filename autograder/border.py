"""How a probe's outputs cross from the process that ran student code: JSON and raw arrays, never pickles."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import torch

__all__ = ["Malformed", "decode", "encode"]

MAX_BYTES = 256 * 2**20
MAX_TEXT = 2000


class Malformed(Exception):
    """Bytes that no probe wrote."""


def encode(outputs: dict[str, Any]) -> bytes:
    """Nested dicts and lists of tensors, numbers, short strings, booleans and None, as one npz archive."""
    arrays: dict[str, np.ndarray] = {}

    def pack(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            key = f"a{len(arrays)}"
            arrays[key] = value.detach().cpu().contiguous().numpy()
            return {"$": key}
        if isinstance(value, dict):
            return {"d": {str(k): pack(v) for k, v in value.items()}}
        if isinstance(value, (list, tuple)):
            return [pack(v) for v in value]
        if isinstance(value, str):
            return value[:MAX_TEXT]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        raise TypeError(f"a probe may not return {type(value).__name__}")

    tree = json.dumps(pack(outputs))
    buffer = io.BytesIO()
    np.savez(buffer, tree=np.frombuffer(tree.encode(), dtype=np.uint8), **arrays)
    return buffer.getvalue()


def decode(data: bytes) -> dict[str, Any]:
    """The inverse of `encode`.

    Raises:
        Malformed: the bytes are too many or not of that form.
    """
    if len(data) > MAX_BYTES:
        raise Malformed("the outputs are larger than 256 MiB")

    def unpack(value: Any) -> Any:
        if isinstance(value, dict):
            if "$" in value:
                return torch.from_numpy(archive[value["$"]].copy())
            return {k: unpack(v) for k, v in value["d"].items()}
        return [unpack(v) for v in value] if isinstance(value, list) else value

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            outputs = unpack(json.loads(archive["tree"].tobytes().decode()))
    except Exception as error:  # whatever is wrong with foreign bytes, it is the submission's trouble
        raise Malformed(f"the outputs cannot be read ({type(error).__name__})") from None
    if not isinstance(outputs, dict):
        raise Malformed("the outputs are not a dict")
    return outputs
