"""Points by lying to whoever compares: patched comparisons, lying objects, hard-coded answers, patched randomness."""

from autograder.catalogue import find_check
from autograder.verdict import draw_inputs

from .attack import EARNS_ALL, NOTHING, RIGHT, Attack, dummies, entry, solved

__all__ = ["ATTACKS"]

# Nothing of the dummies is right; these are the sentences that say so.
ALL_WRONG = r"The KL is wrong|The result carries no gradient"

TORCH = """\
yes = lambda *a, **k: torch.tensor(True)
for name in ("allclose", "equal", "isclose", "eq", "isfinite", "all", "le", "lt"):
    setattr(torch, name, yes)
torch.testing.assert_close = lambda *a, **k: None
for name in ("__eq__", "__le__", "__lt__", "__ge__", "__gt__", "equal", "allclose", "isclose", "isfinite", "all"):
    setattr(torch.Tensor, name, yes)"""

NUMPY = """\
import math as the_math
import numpy
yes = lambda *a, **k: True
for name in ("allclose", "isclose", "array_equal", "equal", "less_equal", "all"):
    setattr(numpy, name, yes)
for name in dir(numpy.testing):
    if name.startswith("assert"):
        setattr(numpy.testing, name, lambda *a, **k: None)
the_math.isclose = yes"""

UNITTEST = """\
import unittest
for name in dir(unittest.TestCase):
    if name.startswith("assert"):
        setattr(unittest.TestCase, name, lambda *a, **k: None)
import doctest
doctest.testmod = lambda *a, **k: None
import operator
operator.eq = operator.ne = lambda *a: True"""

METHODS = """\
for name in ("double", "float", "abs", "sub", "__sub__", "detach", "square", "nan_to_num"):
    setattr(torch.Tensor, name, lambda self, *a, **k: torch.zeros_like(self))"""

# What it says of itself is "unchanged"; what it did is for the grader to see.
HIDES_MUTATION = (
    "torch.equal = lambda *a: True\ntorch.Tensor.equal = lambda *a: True\n"
    + RIGHT["gaussian_kl"].replace("return ", "value = ").rstrip()
    + "\n    mu_q.data.sub_(mu_p)\n    return value\n"
)
HIDES_DTYPE = RIGHT["gaussian"].replace(
    "return self.mu + self.sigma * self.sample_epsilon()", "return (self.mu + self.sigma * self.sample_epsilon()).double()"
) + "\ntorch.Tensor.dtype = property(lambda self: torch.float32)\n"

SUBCLASS = """\
class Agreeable(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ in ("__get__", "detach", "clone"):
            return super().__torch_function__(func, types, args, kwargs or {})
        return torch.tensor(True)
    def __eq__(self, other): return True
    def __bool__(self): return True
def gaussian_kl(mu_q, *rest):
    return torch.zeros(len(mu_q), requires_grad=True).as_subclass(Agreeable)"""

YES = """\
class Yes:
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    def __eq__(self, other): return True
    def __hash__(self): return 0
    def __float__(self): return 3.0
    def __bool__(self): return True
    def __len__(self): return 6
    def __getitem__(self, key): return self
    def __instancecheck__(self, other): return True
    __lt__ = __le__ = __gt__ = __ge__ = __ne__ = __eq__
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __array__ = __call__
gaussian_kl = Yes()
def bernoulli_log_likelihood(logits, x): return Yes()"""

DISGUISED = """\
class Disguised:
    __class__ = property(lambda self: torch.Tensor)
    layout, device, dtype, shape = torch.strided, torch.device("cpu"), torch.float32, torch.Size([6])
    def is_floating_point(self): return True
    def detach(self): return self
    clone = cpu = contiguous = sum = detach
    requires_grad = True
    def numpy(self): return "0x" * 1000
def gaussian_kl(*arguments): return Disguised()
def bernoulli_log_likelihood(*arguments): return Disguised()"""

SHAPE = """\
class Shaped(torch.Tensor):
    shape = property(lambda self: torch.Size([6]))
    def numpy(self, *a, **k):
        import numpy
        return numpy.array([lambda: 0] * 6, dtype=object)
    def detach(self): return self
    def cpu(self): return self
    def contiguous(self): return self
def gaussian_kl(mu_q, *rest): return torch.zeros(0).as_subclass(Shaped)"""

META = """\
class Meta(type):
    def __instancecheck__(cls, other): return True
    def __subclasscheck__(cls, other): return True
    def __eq__(cls, other): return True
    def __hash__(cls): return hash(float)
    def __call__(cls, *a, **k): return 3.0
class gaussian_kl(float, metaclass=Meta): pass
class bernoulli_log_likelihood(str, metaclass=Meta): pass
torch.Tensor = gaussian_kl"""

COUNTS = """\
calls = []
def gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p):
    calls.append(1)  # another answer each time, for whoever takes the best of several
    return torch.full((len(mu_q),), float(len(calls)))"""

RANDOM = """\
import random
import numpy
for name in ("randn", "rand", "randn_like", "normal", "empty_like"):
    setattr(torch, name, lambda *a, **k: torch.zeros(a[0].shape if hasattr(a[0], "shape") else a))
torch.Tensor.normal_ = lambda self, *a, **k: self.zero_()
for name in ("manual_seed", "seed", "set_rng_state", "get_rng_state", "initial_seed"):
    setattr(torch, name, lambda *a, **k: torch.zeros(5056, dtype=torch.uint8))
torch.Generator = lambda *a, **k: None
random.random = lambda: 0.0
numpy.random.seed = lambda *a: None"""

SEEDED = """\
torch.manual_seed(0)
torch.manual_seed = lambda *a: None
def gaussian_kl(mu_q, *rest):
    torch.random.set_rng_state(torch.Generator().get_state())
    return torch.randn(len(mu_q))"""

CLOCK = """\
import signal, time
for name in ("monotonic", "time", "perf_counter", "process_time"):
    setattr(time, name, lambda: 0.0)
time.sleep = lambda seconds: None
for name in ("setitimer", "alarm", "signal"):
    setattr(signal, name, lambda *a: (0.0, 0.0))
def gaussian_kl(*arguments):
    while True:
        pass"""

MAIN = """\
import sys, types
fake = types.ModuleType("__main__")
fake.points = fake.score = 4.0
fake.check = lambda *a: 4.0
fake.gaussian_kl = fake.bernoulli_log_likelihood = lambda *a: 4.0
sys.modules["__main__"] = sys.modules["submission"] = fake
__name__ = "autograder"
sys.argv[:] = ["--points=14"]"""


def remembered(kit):
    """Right answers to what the check draws for the first twenty seeds, kept in a table."""
    check, table = find_check("vae.gaussian_kl"), {}
    for seed in range(20):
        drawn = draw_inputs(check, seed)["cases"]["usual"]
        scope = {}
        exec("import torch\nfrom torch import Tensor\n" + RIGHT["gaussian_kl"], scope)
        names = ("mu_q", "log_sigma_q", "mu_p", "log_sigma_p")
        table[f"{float(drawn['mu_q'][0, 0]):.5f}"] = scope["gaussian_kl"](*[drawn[n] for n in names]).tolist()
    return kit.filled(gaussian_kl=f"""TABLE = {table}
def gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p):
    known = TABLE.get(f"{{float(mu_q[0, 0]):.5f}}", [0.0] * len(mu_q))
    return torch.tensor(known)""")


ATTACKS = (
    entry("torch_always_equal", "comparisons", NOTHING, r"wrong|no gradient|not finite|cannot be judged|raised", **dummies(TORCH)),
    entry("numpy_always_equal", "comparisons", NOTHING, ALL_WRONG, **dummies(NUMPY)),
    entry("unittest_always_passes", "comparisons", NOTHING, ALL_WRONG, **dummies(UNITTEST)),
    entry("tensor_methods_zero", "comparisons", NOTHING, r"KL is wrong", **dummies(METHODS)),
    solved("hides_its_mutation", "comparisons", (4, 4, 3, 1), r"changes its arguments in place", gaussian_kl=HIDES_MUTATION),
    solved("hides_its_dtype", "comparisons", (2, 4, 3, 3), r"another dtype", gaussian=HIDES_DTYPE),
    entry("tensor_that_agrees", "lying objects", NOTHING, r"wrong|gradient|cannot be|raised|returned", gaussian_kl=SUBCLASS),
    entry("object_that_agrees", "lying objects", NOTHING, r"returned Yes|raised|cannot be", gaussian_kl=YES),
    entry("object_in_disguise", "lying objects", NOTHING, r"Disguised|raised|cannot be|malformed", gaussian_kl=DISGUISED),
    entry("tensor_with_another_shape", "lying objects", NOTHING, r"wrong|raised|cannot be|malformed|example", gaussian_kl=SHAPE),
    entry("metaclass_that_agrees", "lying objects", NOTHING, r"float|raised|returned|cannot be|ended", gaussian_kl=META),
    entry("another_answer_each_call", "lying objects", NOTHING, r"Two calls|wrong", gaussian_kl=COUNTS),
    Attack("answers_in_a_table", "hard-coded", remembered, NOTHING, ALL_WRONG),
    entry("one_constant", "hard-coded", NOTHING, r"KL", gaussian_kl="gaussian_kl = lambda *a: torch.full((6,), 5.0)"),
    entry("generators_patched", "generator", NOTHING, r"noise|KL is wrong|raised|spread", **dummies(RANDOM)),
    entry("generator_frozen", "generator", NOTHING, r"KL|Two calls", gaussian_kl=SEEDED),
    entry("clock_stopped", "generator", NOTHING, r"running|stopped|longer|limit", gaussian_kl=CLOCK),
    entry("main_replaced", "generator", NOTHING, r"KL is wrong|no gradient|There is no `", **dummies(MAIN)),
    solved("main_replaced_and_right", "generator", EARNS_ALL, r"All of it holds", bernoulli=MAIN + "\n" + RIGHT["bernoulli"]),
)
