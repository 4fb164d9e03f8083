"""What crosses from the student's process comes out as it went in, or is refused."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder import border
from autograder.border import Malformed, decode, encode


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.nan_to_num(7), b.nan_to_num(7))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a and b != b)


def tensors(shape):
    return st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool]).map(lambda dtype: torch.ones(shape).to(dtype))


plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=30)
leaves = plain | st.lists(st.integers(0, 3), max_size=4).flatmap(tensors)
keys = st.text(max_size=5)
nested = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8)
trees = st.dictionaries(keys, nested, max_size=4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(trees)
def test_round_trip(outputs):
    assert same(outputs, decode(encode(outputs)))


def test_views_and_gradients_cross():
    x = torch.arange(12.0).reshape(3, 4).requires_grad_()
    back = decode(encode({"x": x.T, "nan": torch.tensor([torch.nan, torch.inf])}))
    assert torch.equal(back["x"], x.T) and not back["x"].requires_grad
    assert back["nan"].isnan().tolist() == [True, False]


def test_long_text_is_cut():
    assert len(decode(encode({"trouble": "a" * 10**6}))["trouble"]) == border.MAX_TEXT


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, print], ids=["object", "set", "bytes", "complex", "print"])
def test_what_no_probe_may_return(value):
    with pytest.raises(TypeError, match="a probe may not return"):
        encode({"x": value})


def archive(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def tree(value):
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


class Bomb:
    """Unpickling it would leave a mark."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def bomb():
    return archive(tree=tree({"d": {"x": {"$": "a0"}}}), a0=np.array([Bomb()], dtype=object))


def not_an_array():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("tree.npy", b"no array")
    return buffer.getvalue()


GARBAGE = {
    "nothing": b"",
    "text": b"hello",
    "zeros": bytes(1000),
    "a zip's first bytes": b"PK\x03\x04" + bytes(100),
    "truncated": encode({"x": torch.randn(50)})[:-40],
    "cut in the middle": encode({"x": torch.randn(50)})[:200],
    "an object array": bomb(),
    "a lone pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "no tree": archive(x=np.zeros(3)),
    "a tree that is no JSON": archive(tree=np.zeros(5, dtype=np.uint8)),
    "a list on top": archive(tree=tree([1, 2])),
    "a number on top": archive(tree=tree(3)),
    "an array that is not there": archive(tree=tree({"d": {"x": {"$": "a7"}}})),
    "a key that is no text": archive(tree=tree({"d": {"x": {"$": [1]}}})),
    "a dict without its mark": archive(tree=tree({"x": 1})),
    "text where a dict belongs": archive(tree=tree({"d": "abc"})),
    "an array of text": archive(tree=tree({"d": {"x": {"$": "a0"}}}), a0=np.array(["a", "b"])),
    "no array in the zip": not_an_array(),
    "deep nesting": archive(tree=np.frombuffer(b"[" * 200_000 + b"]" * 200_000, dtype=np.uint8)),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_malformed(name):
    with pytest.raises(Malformed):
        decode(GARBAGE[name])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=300), st.integers(0, 10_000))
def test_damaged_bytes_are_malformed_or_decode(noise, position):
    good = encode({"x": torch.arange(40.0), "y": [1, "two", None]})
    position %= len(good)
    for data in (noise, good[:position], good[:position] + noise + good[position + len(noise) :]):
        try:
            assert isinstance(decode(data), dict)
        except Malformed:
            pass


def test_too_large_is_malformed(monkeypatch):
    monkeypatch.setattr(border, "MAX_BYTES", 100)
    with pytest.raises(Malformed, match="larger"):
        decode(encode({"x": torch.zeros(1000)}))


def test_a_tensor_cannot_say_that_it_is_another(monkeypatch):
    x = torch.arange(4.0, dtype=torch.float64)
    monkeypatch.setattr(torch.Tensor, "dtype", property(lambda self: torch.float32))
    monkeypatch.setattr(torch.Tensor, "shape", property(lambda self: torch.Size([2])))
    monkeypatch.setattr(torch.Tensor, "detach", lambda self: torch.zeros(2))
    data = encode({"x": x})
    monkeypatch.undo()
    assert same({"x": x}, decode(data))
