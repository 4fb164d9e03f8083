"""How a probe's inputs and outputs cross between the grader and the process that runs student code.

Tensors in the safetensors format with a tree of JSON beside them. Never a pickle: reading runs no code, and takes
memory in proportion to the bytes that came.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load

from autograder.channel import MAX_BYTES, Malformed

__all__ = ["Malformed", "decode", "encode"]

MAX_TEXT = 2000
MAX_TREE = 1 << 20

# Kept from before any student's code runs: it may put others in their place, that say another dtype or shape.
_BASE = torch._C.TensorBase
_DETACH, _CONTIGUOUS, _NUMPY = _BASE.detach, _BASE.contiguous, _BASE.numpy
_PLAIN = torch._C.DisableTorchFunctionSubclass


def encode(outputs: dict[str, Any]) -> bytes:
    """Nested dicts and lists of tensors, numbers, short strings, booleans and None.

    Raises:
        TypeError: there is something else in it.
    """
    tensors: dict[str, Any] = {}

    def pack(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            key = str(len(tensors))
            with _PLAIN():
                tensors[key] = _NUMPY(_CONTIGUOUS(_DETACH(value)))
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
    return save(tensors, metadata={"tree": tree})


def decode(data: bytes) -> dict[str, Any]:
    """The inverse of `encode`.

    Raises:
        Malformed: the bytes are too many or not of that form.
    """
    if len(data) > MAX_BYTES:
        raise Malformed("the outputs are larger than 64 MiB")

    def unpack(value: Any) -> Any:
        if isinstance(value, dict):
            return tensors[value["$"]] if "$" in value else {k: unpack(v) for k, v in value["d"].items()}
        if isinstance(value, str):
            return value[:MAX_TEXT]
        return [unpack(v) for v in value] if isinstance(value, list) else value

    try:
        (size,) = struct.unpack("<Q", data[:8])
        if size > MAX_TREE:
            raise Malformed("its description is too long")
        tree = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["tree"])
        tensors = load(data)
        outputs = unpack(tree)
    except (SafetensorError, Exception) as error:  # whatever is wrong with foreign bytes, it is the submission's trouble
        raise Malformed(f"the outputs cannot be read ({type(error).__name__})") from None
    if not isinstance(outputs, dict):
        raise Malformed("the outputs are not a dict")
    return outputs
