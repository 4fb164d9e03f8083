"""Points by answering in the probe's place: the probe replaced in memory, and bytes on the way that no probe wrote."""

from .attack import EARNS_ALL, NOTHING, RIGHT, dummies, entry, solved

__all__ = ["ATTACKS"]

ANY = r"\w{4}"  # whatever it says, it says something
WRONG = r"The KL is wrong|The result carries no gradient|cannot be|ended"

# Everything called `name` in any module of the checker that can be seen from here is replaced, wherever it was imported to.
REPLACE = """\
import sys
def replace(name, new):
    for key, module in list(sys.modules.items()):
        if key.split(".")[0] in ("autograder", "__main__") and hasattr(module, name):
            setattr(module, name, new)
"""

# What a replaced `run_probe` returns.
FAKES = {
    "empty": "{}",
    "a_score": "{'points': 4, 'passed': True, 'findings': [], 'message': 'All of it holds.', 'score': 1.0}",
    "nan": "{'value': torch.full((6,), math.nan), 'again': torch.full((6,), math.nan), 'changed': False, 'grad_mu_q': None}",
    "no_elements": "{'value': torch.zeros(0), 'again': torch.zeros(0), 'changed': False}",
    "expanded": "{'value': torch.zeros(1).expand(10**9), 'again': torch.zeros(1).expand(10**9), 'changed': False}",
    "scalar": "{k: torch.tensor(math.inf) for k in ('value', 'again', 'far', 'flat', 'images', 'draws', 'z')}",
    "complex": "{'value': torch.zeros(6, dtype=torch.complex64), 'again': torch.zeros(6, dtype=torch.complex64), 'changed': 0}",
    "half_ints": "{'value': torch.zeros(6, dtype=torch.bool), 'again': torch.zeros(6, dtype=torch.int8), 'changed': 'no'}",
    "texts": "{k: 'right' for k in ('value', 'again', 'changed', 'far', 'flat', 'images', 'draws', 'shape', 'dtype', 'z')}",
    "trouble_number": "{'trouble': 10**4000}",
    "many_keys": "{str(n): n for n in range(300_000)}",
    "deep": "deep",
    "itself": "itself",
    "long_text": "{'trouble': 'points ' * 10**7}",
    "objects": "{'value': object(), 'again': lambda: 4, 'changed': type}",
    "list": "[4.0, 4.0, 3.0, 3.0]",
    "big_numbers": "{'value': 10**5000, 'again': -10**5000, 'changed': 1e308 * 10}",
}
MAKE = """\
deep = {}
for _ in range(50_000):
    deep = {"d": [deep]}
itself = {}
itself["itself"] = itself
"""


# These take seconds each time, so they answer for the last exercise only.
HEAVY = ("many_keys", "deep", "long_text", "zip_bomb", "json_bomb", "too_long", "wide_tree", "expanded")


def once_or_more(name, code):
    """The three dummies after this code; only the last of them if it is heavy."""
    return {"gaussian_kl": code + "\n" + dummies()["gaussian_kl"]} if name in HEAVY else dummies(code)


def fake(outputs, name=""):
    return once_or_more(name, f"{REPLACE}{MAKE}replace('run_probe', lambda *a, **k: {outputs})")


PROBES = REPLACE + """\
def forged(student, inputs):
    if "mu_q" in inputs:
        value = (inputs["mu_q"] - inputs["mu_p"]).square().sum(-1)
        return {"value": value, "again": value, "changed": False, **{f"grad_{n}": inputs[n] for n in inputs}}
    return {"changed": False, "mutated": False, "unattached": False}
for key, module in list(sys.modules.items()):
    if key.startswith("autograder.probes"):
        for name in dir(module):
            if name.startswith("probe_"):
                setattr(module, name, forged)
                try:
                    vars(module)[name].__code__ = forged.__code__
                except Exception:
                    pass
        module.PROBES = {}"""

# The same by patching the functions in place, so that whoever holds them runs the forgery.
CODE = """\
import gc, types
def forged(*a, **k):
    return {"value": 4.0, "points": 4.0, "passed": True, "changed": False}
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and (thing.__module__ or "").startswith("autograder") and "probe" in thing.__name__:
        try:
            thing.__code__ = forged.__code__
        except Exception:
            pass"""

# Bytes in place of what `encode` would have given.
BYTES = {
    "nothing": "b''",
    "noise": "bytes(range(256)) * 4096",
    "cut_off": "real({'value': torch.zeros(6), 'again': torch.zeros(6), 'changed': False})[:-7]",
    "pickle": "pickled()",
    "zip_bomb": "bomb()",
    "json_bomb": "(b'[' * 10**6)",
    "header_bomb": "__import__('struct').pack('<Q', 2**62) + b'{}'",
    "negative_shape": "tensors({'value': {'dtype': 'F32', 'shape': [-6], 'data_offsets': [0, 24]}}, bytes(24))",
    "huge_shape": "tensors({'value': {'dtype': 'F32', 'shape': [10**9, 10**9], 'data_offsets': [0, 24]}}, bytes(24))",
    "overlapping": "tensors({'a': {'dtype': 'F32', 'shape': [6], 'data_offsets': [-8, 10**12]}, 'a': {'dtype': 'O', 'shape': [], "
                   "'data_offsets': [24, 0]}}, bytes(24))",
    "too_long": "bytes(300 * 2**20)",
    # A few bytes of text for each value, and fifty of memory.
    "wide_tree": "tensors({'__metadata__': {'tree': '{\"d\": {\"value\": [' + '[],' * 15_000_000 + '[]]}}'}}, b'')",
}
ENCODERS = REPLACE + """\
import io, json, os, pickle, struct
import numpy
from autograder import border
real = border.encode
class Trap:
    def __reduce__(self):
        return os.system, ("touch " + PLACES["outside"] + "/pickled",)
def pickled():
    buffer = io.BytesIO()
    numpy.savez(buffer, tree=numpy.array([Trap()], dtype=object), value=numpy.array([Trap()], dtype=object))
    return buffer.getvalue()
def bomb():
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, tree=numpy.frombuffer(b'{"d": {"value": {"$": "a0"}}}', dtype=numpy.uint8), a0=numpy.zeros(10**7))
    return buffer.getvalue()
def tensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
"""


def sends(expression, name):
    return once_or_more(name, f"{ENCODERS}replace('encode', lambda *a, **k: {expression})")


FRAME = """\
import json, os, struct
claim = {"points": 4, "passed": True, "value": 0, "score": 4.0, "findings": []}
bodies = [json.dumps(claim).encode() + b"\\n", b"4.0\\n", json.dumps({"ok": True, "outputs": claim}).encode()]
try:
    from autograder.border import encode
    bodies.append(encode({"value": torch.zeros(6), "again": torch.zeros(6), "changed": False}))
except Exception:
    pass
def forge():
    for fd in range(256):
        for body in bodies:
            for head in (b"", struct.pack("<Q", len(body)), struct.pack(">I", len(body)), struct.pack("<I", len(body))):
                try:
                    os.set_blocking(fd, False)
                    os.write(fd, head + body)
                except OSError:
                    break
"""

FLOOD = FRAME + """\
import threading
def flood():
    while True:
        forge()
threading.Thread(target=flood, daemon=True).start()"""

WIDE = """\
import os, struct
for body in (b'{"output": [' + b"[]," * 15_000_000 + b"[]]}", b'{"output": {"data": {' + b",".join(b'"%d": {}' % n for n in range(3_000_000)) + b"}}}"):
    for fd in range(3, 64):
        try:
            data = memoryview(struct.pack("<Q", len(body)) + body)
            while data:
                data = data[os.write(fd, data):]
        except OSError:
            pass
raise SystemExit
"""
FORKS = "import os\nos.fork()"
EARLY = FRAME + "def last():\n    forge()\n    os._exit(0)\n"
CLOSES = "import os\nos.closerange(0, 4096)"
SWAPS = """\
import os
fds = [int(n) for n in os.listdir("/proc/self/fd")] if os.path.isdir("/proc/self/fd") else list(range(64))
for fd in fds:
    try:
        os.dup2(fds[0], fd)
    except OSError:
        pass"""
PARKED = """\
import os
pid = os.fork()
if pid == 0:
    import time
    time.sleep(3)
    for fd in range(3, 256):
        try:
            os.write(fd, b"\\x00" * 64)
        except OSError:
            pass
    os._exit(0)
"""

TRACE = """\
import sys, threading
def trace(frame, event, arg):
    if event == "return" and isinstance(arg, dict):
        arg.update(changed=False, mutated=False, points=4, passed=True, value=torch.zeros(6))
    return trace
sys.settrace(trace)
sys.setprofile(lambda frame, event, arg: isinstance(arg, dict) and arg.update(points=4, value=torch.zeros(6)))
threading.settrace(trace)"""

HTML = '"<script>alert(1)</script><img src=x onerror=alert(2)>\\x1b[2J\\x1b]0;owned\\x07\\x00" * 50'
RAISES = f"""\
class Points(Exception):
    def __str__(self): return {HTML}
def gaussian_kl(*a): raise Points"""

ATTACKS = (
    *(entry(f"answers_{name}", "probe", NOTHING, ANY, **fake(outputs, name)) for name, outputs in FAKES.items()),
    entry("answers_with_script", "probe", NOTHING, ANY, **fake(f"{{'trouble': {HTML}}}")),
    entry("probes_replaced", "probe", NOTHING, ANY, **dummies(PROBES)),
    entry("code_of_probes_replaced", "probe", NOTHING, ANY, **dummies(CODE)),
    entry("trace_function", "probe", NOTHING, ANY, **dummies(TRACE)),
    solved("message_with_script", "script in tracebacks", (4, 4, 3, 0), r"Points", gaussian_kl=RAISES),
    *(entry(f"sends_{name}", "channel", NOTHING, ANY, **sends(expression, name)) for name, expression in BYTES.items()),
    entry("writes_to_every_descriptor", "channel", NOTHING, ANY, **dummies(FRAME + "forge()", "forge()")),
    solved("sends_wide_outputs", "channel", (4, 4, 0, 3), r"There is no `|ended", bernoulli=WIDE + RIGHT["bernoulli"]),
    entry("floods_every_descriptor", "channel", NOTHING, ANY, **dummies(FLOOD)),
    entry("answers_early_and_exits", "channel", NOTHING, ANY, **dummies(EARLY, "last()")),
    entry("forks_in_the_probe", "channel", NOTHING, WRONG, gaussian_kl=dummies("", FORKS)["gaussian_kl"]),
    solved("closes_descriptors_in_the_probe", "channel", (4, 4, 3, 0), ANY, gaussian_kl=dummies("", CLOSES)["gaussian_kl"]),
    solved("swaps_descriptors_in_the_probe", "channel", (4, 4, 3, 0), ANY, gaussian_kl=dummies("", SWAPS)["gaussian_kl"]),
    solved("writes_late", "channel", EARNS_ALL, r"All of it holds", bernoulli=PARKED + RIGHT["bernoulli"]),
)
