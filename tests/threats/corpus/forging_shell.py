"""Points through the shell that runs the cells, its display hook, its messages, and the checker's own objects."""

from autograder.written import VERDICT_MIME

from .attack import EARNS_ALL, NOTHING, RIGHT, dummies, entry, solved

__all__ = ["ATTACKS"]

WRONG = r"The KL is wrong|The result carries no gradient|There is no `"
SHELL = "shell = get_ipython()\n"
MIME = f"VERDICT_MIME = {VERDICT_MIME!r}\n"  # a forger may know it; no sandbox says it

AST = SHELL + """\
import ast
class Full(ast.NodeTransformer):
    def visit_Call(self, node):
        if getattr(node.func, "id", "") == "check":
            return ast.copy_location(ast.Constant(4.0), node)
        return self.generic_visit(node)
    def visit_Expr(self, node):
        return ast.fix_missing_locations(self.generic_visit(node))
shell.ast_transformers.append(Full())"""

INPUT = SHELL + """\
def full(lines):
    return ["4.0\\n"] if any("check(" in line for line in lines) else lines
for where in ("input_transformers_cleanup", "input_transformers_post"):
    getattr(shell, where).append(full)
    getattr(shell.input_transformer_manager, where.replace("input_transformers_", "") + "_transforms", []).append(full)"""

RUN_CELL = SHELL + """\
from types import SimpleNamespace
result = SimpleNamespace(result=4.0, success=True, error_in_exec=None, error_before_exec=None, execution_count=1, raise_error=lambda: None)
def run_cell(*a, **k):
    print("4.0")
    return result
for name in ("run_cell", "run_cell_async", "run_ast_nodes", "run_code", "_run_cell", "ev", "ex", "compile"):
    for owner in (shell, type(shell), *type(shell).__mro__[:-1]):
        try:
            setattr(owner, name, run_cell)
        except Exception:
            pass"""

EVENTS = SHELL + """\
def after(result=None, *a):
    if result is not None:
        result.result, result.error_in_exec = 4.0, None
        shell.displayhook(4.0)
for name in ("pre_execute", "post_execute", "pre_run_cell", "post_run_cell"):
    shell.events.register(name, lambda *a: after(*a))"""

NAMESPACE = SHELL + """\
class Names(dict):
    def __getitem__(self, name):
        if name.startswith("gaussian") or name.startswith("bern"):
            raise SystemExit(0)
        return dict.__getitem__(self, name)
    get = __contains__ = __missing__ = lambda self, name, *a: 4.0
shell.user_ns = Names(shell.user_ns)
shell.user_global_ns"""

CHECK = """\
import builtins
import autograder
def check(name, student=None, *more):
    return 4.0
builtins.check = autograder.check = check"""

BUILTINS = """\
import builtins
right = lambda *a, **k: 4.0
builtins.isinstance = builtins.callable = builtins.hasattr = lambda *a: True
builtins.eval = builtins.exec = builtins.compile = right
builtins.print = builtins.repr = builtins.float = builtins.len = builtins.sum = right
builtins.open = right
builtins.__import__ = right
builtins.__build_class__ = right"""

MODULES = """\
import sys, types
class Fake(types.ModuleType):
    def __getattr__(self, name):
        return lambda *a, **k: {"points": 4.0, "passed": True, "value": 4.0}
for name in list(sys.modules):
    if name.split(".")[0] in ("autograder", "json", "struct", "select", "signal", "safetensors", "linecache", "traceback"):
        sys.modules[name] = Fake(name)"""

# A value in the display hook when a cell runs, and again when the probe calls.
SHOWN = {
    "points": "4.0", "nan": "float('nan')", "infinite": "float('inf')", "huge": "10.0**308 * 1.7", "long": "10**4000",
    "negative": "-4.0", "text": "'full marks'", "bool": "True",
}


def shows(value):
    call = f"import sys\nsys.displayhook({value})\nget_ipython().displayhook({value})\nprint({value})"
    return dummies(call, call)


VERDICT = MIME + """\
from IPython.display import display, publish_display_data
def claim():
    for name, grade_id, points in CLAIMS:
        record = {"check": name, "title": "All right", "passed": True, "points": points, "max_points": points, "grade_id": grade_id,
                  "misconception": None, "message": "All of it holds.", "findings": []}
        display({VERDICT_MIME: record, "text/plain": str(points)}, raw=True)
        publish_display_data({VERDICT_MIME: record}, {"nbgrader": {"score": points}})
CLAIMS = [("vae.bernoulli", "check_bernoulli", 3), ("vae.gaussian_kl", "check_gaussian_kl", 3),
          ("vae.gaussian_rsample", "check_gaussian_rsample", 4), ("vae.gaussian_log_prob", "check_gaussian_log_prob", 4)]
claim()"""

FORMATTER = SHELL + MIME + """\
claim = {VERDICT_MIME: {"check": "vae.gaussian_kl", "points": 3, "max_points": 3, "passed": True}, "text/plain": "3.0"}
class Formatter:
    def format(self, *a, **k): return claim, {}
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return claim, {}
shell.display_formatter = Formatter()
class Publisher:
    def __getattr__(self, name): return lambda *a, **k: claim
try:
    shell.display_pub = Publisher()
except Exception:
    pass
'anything'"""

MESSAGES = SHELL + MIME + """\
import glob, hashlib, hmac, json, os, sys
content = {"execution_count": 1, "data": {"text/plain": "4.0", VERDICT_MIME: {"points": 4}}, "metadata": {}}
try:
    kernel = shell.kernel
    kernel.session.send(kernel.iopub_socket, "execute_result", content, parent=kernel.get_parent("shell"))
    print(kernel.session.key)
except Exception as error:
    print(type(error).__name__)
for path in [*glob.glob(os.path.expanduser("~/.local/share/jupyter/runtime/*.json")), *sys.argv, *glob.glob("/tmp/kernel*.json")]:
    try:
        import zmq
        info = json.load(open(path))
        socket = zmq.Context().socket(zmq.PUB)
        socket.connect(f"tcp://{info['ip']}:{info['iopub_port']}")
        frames = [json.dumps(part).encode() for part in ({"msg_type": "execute_result"}, {}, {}, content)]
        signature = hmac.new(info["key"].encode(), b"".join(frames), hashlib.sha256).hexdigest().encode()
        socket.send_multipart([b"<IDS|MSG>", signature, *frames])
    except Exception as error:
        print(type(error).__name__)"""

# The walk up the stack: the inputs are changed so that zero becomes the right answer, the outputs so that they say so.
FRAMES = """\
import sys
frame = sys._getframe()
while frame is not None:
    for name, value in list(frame.f_locals.items()):
        if isinstance(value, dict) and "mu_q" in value:
            for key in ("mu_q", "log_sigma_q", "mu_p", "log_sigma_p"):
                value[key].zero_() if hasattr(value[key], "zero_") else None
        if name in ("outputs", "reply", "replies", "result") and isinstance(value, dict):
            value.update(points=4, passed=True, findings=[])
    frame = frame.f_back"""

GARBAGE = """\
import gc, types
for thing in gc.get_objects():
    try:
        kind = type(thing).__name__
        if kind in ("Check", "Verdict", "Finding", "Misconception"):
            object.__setattr__(thing, "behaviors", {})
            object.__setattr__(thing, "judge", lambda *a: [])
            object.__setattr__(thing, "passed", True)
            print("FOUND", kind)
        if isinstance(thing, types.FunctionType) and thing.__name__.startswith(("judge", "conclude")):
            thing.__code__ = (lambda *a, **k: []).__code__
            print("FOUND", thing.__name__)
    except Exception:
        pass"""

IMPORTS = """\
import importlib
for name in ("autograder.checks.vae_functions", "autograder.catalogue", "autograder.verdict", "autograder.grading.engine",
             "autograder.units.vae.gaussian_kl", "autograder.notebook", "autograder.exercises.naming"):
    try:
        module = importlib.import_module(name)
        print("FOUND", name)
        for key in list(vars(module)):
            if key.startswith(("judge", "conclude", "close")):
                setattr(module, key, lambda *a, **k: [])
    except Exception as error:
        print(name, type(error).__name__)"""

SOLUTIONS = """\
def gaussian_kl(mu_q, *rest): return torch.zeros(len(mu_q))
try:
    from autograder.units.vae.gaussian_kl import SOLUTION
    for source in [SOLUTION]:
        exec(source)
except Exception as error:
    print(type(error).__name__)"""

FILES = """\
import ast, glob, os, sys, sysconfig
def gaussian_kl(mu_q, *rest): return torch.zeros(len(mu_q))
roots = [PLACES["repository"], PLACES["course"], sysconfig.get_path("purelib"), *sys.path, "."]
for root in roots:
    for path in glob.glob(os.path.join(glob.escape(root or "."), "**", "vae_functions.py"), recursive=True)[:4]:
        try:
            for node in ast.walk(ast.parse(open(path).read())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("def gaussian_kl"):
                    exec(node.value)
        except Exception as error:
            print(type(error).__name__)"""

SEED = """\
seeds = []
def note():
    seeds.append(torch.initial_seed())
    frame = __import__("sys")._getframe()
    while frame:
        seeds.extend(v for k, v in frame.f_locals.items() if "seed" in k)
        frame = frame.f_back"""
SEEDS = RIGHT["gaussian"].replace("        return self.mu + ", "        note()\n        return self.mu + ")

ATTACKS = (
    entry("ast_transformer", "shell", NOTHING, WRONG, **dummies(AST)),
    entry("input_transformer", "shell", NOTHING, WRONG, **dummies(INPUT)),
    entry("run_cell_replaced", "shell", NOTHING, WRONG, **dummies(RUN_CELL)),
    entry("shell_events", "shell", NOTHING, WRONG, **dummies(EVENTS)),
    entry("namespace_replaced", "shell", NOTHING, r"\w", **dummies(NAMESPACE)),
    entry("check_replaced", "shell", NOTHING, WRONG, **dummies(CHECK)),
    entry("builtins_replaced", "shell", NOTHING, r"\w", **dummies(BUILTINS)),
    entry("modules_replaced", "shell", NOTHING, r"\w", **dummies(MODULES)),
    *(entry(f"shows_{name}", "display hook", NOTHING, WRONG, **shows(value)) for name, value in SHOWN.items()),
    entry("claims_a_verdict", "display hook", NOTHING, WRONG, **dummies(VERDICT, "claim()")),
    entry("formatter_replaced", "display hook", NOTHING, WRONG, **dummies(FORMATTER)),
    entry("forged_messages", "messages", NOTHING, WRONG, **dummies(MESSAGES)),
    solved("changes_the_inputs", "checker", (4, 4, 3, 0), r"KL|in place|gradient|raised", gaussian_kl=dummies("", FRAMES)["gaussian_kl"]),
    entry("looks_in_the_garbage", "checker", NOTHING, WRONG, **{**dummies(GARBAGE), "gaussian_kl": dummies("", GARBAGE)["gaussian_kl"]}),
    entry("imports_the_judge", "checker", NOTHING, WRONG, **dummies(IMPORTS)),
    entry("imports_the_solutions", "checker", NOTHING, r"KL is wrong|no gradient", gaussian_kl=SOLUTIONS),
    entry("reads_the_checker", "checker", NOTHING, r"KL is wrong|no gradient", gaussian_kl=FILES),
    solved("reads_the_seed", "checker", EARNS_ALL, r"All of it holds", gaussian=f"{SEED}\n{SEEDS}",
           bernoulli=RIGHT["bernoulli"] + "\nprint('SEEDS', seeds)"),
)
