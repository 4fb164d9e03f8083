"""The honest half of the class: right, partly right, wrong, untouched; noisy, slow and unusual. Each earns what its code earns."""

from corpus.attack import EARNS_ALL, NOTHING, RIGHT, Attack, entry, noted, solved
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from autograder.catalogue import all_checks, exercise_of

__all__ = ["HONEST"]

FINE = r"All of it holds"
CELL_OF = {"ReparameterizedDiagonalGaussian": "gaussian", "bernoulli_log_likelihood": "bernoulli", "gaussian_kl": "gaussian_kl"}
VARIANTS = {target: {label: exercise_of(target).source(way) for label, way in exercise_of(target).variants.items()} for target in CELL_OF}


def mistaken(target: str, name: str, points: tuple[float, ...]) -> Attack:
    """Right but for one mistake that has a name."""
    exercise = next(e for e in all_checks().values() if e.target == target and e.mistake(name))
    cell = CELL_OF[target]
    return solved(f"honest_{name}_in_{cell}", "mistakes", points, r"\w{4}", **{cell: exercise.source(exercise.mistake(name).ways[0])})


def right(name: str, clause: str, before: str = "", after: str = "", cell: str = "bernoulli") -> Attack:
    """Right answers, with something before or after one of them that earns and costs nothing."""
    return solved(f"honest_{name}", clause, EARNS_ALL, FINE, **{cell: f"{before}\n{RIGHT[cell]}\n{after}"})


def variants(name: str, gaussian: str, bernoulli: str, kl: str) -> Attack:
    """Right in another way than ours."""
    gaussians, bernoullis, kls = (VARIANTS[target] for target in CELL_OF)
    return solved(f"honest_{name}", "other shape", EARNS_ALL, FINE, gaussian=gaussians[gaussian], bernoulli=bernoullis[bernoulli], gaussian_kl=kls[kl])


WARNINGS = """\
import warnings
warnings.warn("a library is worried", DeprecationWarning)
warnings.warn("about many things", RuntimeWarning)
torch.tensor(torch.tensor([1.0]))  # torch warns about this"""
WARNS_IN_THE_FUNCTION = RIGHT["bernoulli"].replace("    return ", "    import warnings\n    warnings.warn('again', UserWarning)\n    return ")
STRICT = "import warnings\nwarnings.simplefilter('error')\nimport logging\nlogging.basicConfig(level=logging.DEBUG)\nlogging.debug('details')"
STDERR = """\
import os, subprocess, sys
print("Traceback (most recent call last):\\nError: nothing at all", file=sys.stderr)
os.write(2, b"from the descriptor itself\\n")
subprocess.run("echo from a command 1>&2", shell=True)"""
PRINTS = RIGHT["gaussian_kl"].replace("    return ", "    import sys\n    print('called', mu_q.shape)\n    print('error: none', file=sys.stderr)\n    return ")
SHOWS_IN_THE_FUNCTION = RIGHT["gaussian_kl"].replace("    return ", """    from IPython.display import HTML, clear_output, display
    import matplotlib.pyplot as plt
    display(HTML("<i>called</i>"), mu_q.shape)
    plt.figure(figsize=(1, 1)); plt.plot([1, 2]); plt.show()
    clear_output()
    return """)
PROGRESS = """\
import sys, time
for n in range(200):
    print(f"\\r{'#' * (n // 10):20s} {n / 2:.0f} %", end="", file=sys.stderr, flush=True)
print()
try:
    from tqdm.auto import tqdm
    for n in tqdm(range(50)):
        pass
except ImportError:
    pass
import ipywidgets
from IPython.display import clear_output, display
bar = ipywidgets.IntProgress(max=20)
display(bar)
for n in range(20):
    bar.value = n
    clear_output(wait=True)
    print("step", n)"""
THREADS = """\
import threading, time
def beat():
    for n in range(400):
        time.sleep(0.02)
        print("beat", n, flush=True)
for _ in range(3):
    threading.Thread(target=beat, daemon=True).start()
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
print(list(pool.map(abs, range(-3, 3))))"""
GRAD_OFF = "torch.set_grad_enabled(False)"
DOUBLE = "import numpy, random\ntorch.set_default_dtype(torch.float64)\ntorch.manual_seed(0)\nnumpy.random.seed(0)\nrandom.seed(0)\n" \
         "torch.set_num_threads(4)\ntorch.set_printoptions(precision=2)\ntorch.autograd.set_detect_anomaly(True)\nnumpy.seterr(all='raise')"
INFERENCE = "guard = torch.inference_mode()\nguard.__enter__()"
SLOW = "import time\ntime.sleep(1.5)\ntotal = sum(n * n for n in range(2_000_000))"
SLOW_FUNCTION = RIGHT["gaussian_kl"].replace("    return ", "    import time\n    time.sleep(0.15)\n    return ")
FIGURES = """\
import matplotlib.pyplot as plt
for n in range(22):  # matplotlib warns at the twenty-first
    plt.figure(figsize=(1, 1))
    plt.plot([0, n])
figure = plt.gcf()
plt.rcParams["figure.dpi"] = 50"""
MAGICS = "%matplotlib inline\n%config InlineBackend.figure_format = 'retina'\n%load_ext autoreload\n%autoreload 2\n!echo from the shell\nfiles = !ls\n%time sum(range(1000))"
TIMED = "%%time\n" + RIGHT["gaussian_kl"]
AWAITED = "import asyncio\nawait asyncio.sleep(0.05)\nasync def later():\n    return 3\nvalue = await later()"
LOADER = """\
from torch.utils.data import DataLoader, TensorDataset
for (batch,) in DataLoader(TensorDataset(torch.arange(32.0)), batch_size=8, num_workers=2, shuffle=True):
    print(batch.sum())"""
PROCESSES = "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as pool:\n    print(pool.map(abs, [-1, -2]))"
FILES = """\
import json, os, pathlib, pickle, tempfile
pathlib.Path("results.json").write_text(json.dumps({"a": 1}))
torch.save({"w": torch.ones(3)}, "model.pt")
print(torch.load("model.pt"), os.listdir("."), json.load(open("results.json")))
with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "x.pkl"), "wb") as file:
    pickle.dump([1], file)
import matplotlib.pyplot as plt
plt.plot([1, 2]); plt.savefig("figure.pdf"); plt.close()
os.chdir("/tmp")"""
SHOWS = """\
import pandas as pd
from IPython.display import HTML, display
from tempfile import gettempdir
display(pd.DataFrame({"a": [1.0, 2.0]}), HTML("<b>bold</b>"))
torch.randn(3, 4)"""
OWN_TESTS = """\
q = torch.zeros(2, 3)
assert torch.allclose(gaussian_kl(q, q, q, q), torch.zeros(2))
check("vae.gaussian_kl", gaussian_kl)
from autograder import hint, progress
hint("vae.gaussian_kl"); progress()"""
QUIRKS = RIGHT["bernoulli"].replace("    ", "\t").replace("\n", "\r\n") + "\r\n\t\r\nπ, größe = 3.14, 'é'  # – “quotes”\u00a0\r\n"
INSTALLS = "%pip --version\nimport importlib\nprint(importlib.import_module('torch').__version__)"
SIGNALS = "import atexit, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\natexit.register(print, 'bye')\nimport sys\nsys.setrecursionlimit(5000)"
WITNESS = """\
import builtins, glob, os, sys, torch.distributions
left = [str(owner) for owner in (torch, builtins, sys) if hasattr(owner, "left_by_threat")] + [name for name in os.environ if "THREAT" in name]
for folder in ("/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~"), ".", ".."):
    left += glob.glob(f"{folder}/*threat*") + glob.glob(f"{folder}/usercustomize.py")
assert not left, f"FOUND {left}"
assert torch.get_default_dtype() is torch.float32 and torch.is_grad_enabled()
assert float(torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(0.0))) < -0.9"""


def with_helper(notebook):
    """A function in a cell of its own, which the answer calls, and remarks between the exercises."""
    place = next(n for n, c in enumerate(notebook.cells) if c.metadata.get("nbgrader", {}).get("grade_id") == "gaussian_kl")
    notebook.cells[place].source = "def gaussian_kl(mu_q, log_sigma_q, mu_p, log_sigma_p):\n    return my_kl(mu_q, log_sigma_q, mu_p, log_sigma_p)"
    helper = new_code_cell(RIGHT["gaussian_kl"].replace("def gaussian_kl", "def my_kl"))
    notebook.cells[place:place] = [new_markdown_cell("My own derivation: $a^2 < b$."), helper, new_code_cell("1 / 0"), new_code_cell("")]


def run_before(notebook):
    """Handed in with its outputs, widgets' state and a name, as JupyterLab saves it."""
    for number, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
        cell.execution_count = number + 7
        cell.outputs = [new_output("stream", text="old\n"), new_output("execute_result", data={"text/plain": "3.0"}, execution_count=number)]
        cell.metadata |= {"scrolled": True, "collapsed": False, "execution": {"iopub.status.busy": "2024-01-01T00:00:00Z"}}
    notebook.metadata |= {"language_info": {"name": "python", "version": "3.9.1"}, "colab": {"provenance": []}, "widgets": {}}


def lost_picture(notebook):
    """An answer that was pasted from another notebook: its picture stayed there."""
    answer = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "answer_why")
    answer.source = "See my derivation: ![derivation](attachment:derivation.png) and <br> a < b > c, [a link](https://example.org/?a=1&b=2)."


HONEST = (
    entry("honest_solved", "right", EARNS_ALL, FINE, **{**RIGHT, "answer_why": RIGHT["answer_why"] + " CANARY"}),
    entry("honest_untouched", "right", NOTHING, r"still to be done"),
    entry("honest_first_exercise", "right", (4, 4, 0, 0), r"still to be done", gaussian=RIGHT["gaussian"]),
    solved("honest_syntax_error", "right", (4, 4, 0, 3), r"There is no `bernoulli", bernoulli="def bernoulli_log_likelihood(logits, x:\n    return 0"),
    mistaken("ReparameterizedDiagonalGaussian", "log_variance_for_log_sigma", (2, 2, 3, 3)),
    mistaken("ReparameterizedDiagonalGaussian", "one_epsilon_for_the_batch", (3, 4, 3, 3)),
    mistaken("ReparameterizedDiagonalGaussian", "sample_without_gradient", (3, 4, 3, 3)),
    mistaken("ReparameterizedDiagonalGaussian", "missing_half", (4, 2, 3, 3)),
    mistaken("ReparameterizedDiagonalGaussian", "density_underflows", (4, 3, 3, 3)),
    mistaken("bernoulli_log_likelihood", "mean_over_pixels", (4, 4, 2, 3)),
    mistaken("bernoulli_log_likelihood", "sigmoid_saturates", (4, 4, 2, 3)),
    mistaken("gaussian_kl", "kl_reversed", (4, 4, 3, 1)),
    mistaken("gaussian_kl", "changes_its_inputs", (4, 4, 3, 1)),
    right("warned", "warnings", WARNINGS),
    solved("honest_warns_in_the_function", "warnings", EARNS_ALL, FINE, bernoulli=WARNS_IN_THE_FUNCTION),
    right("warnings_are_errors", "warnings", STRICT, cell="gaussian"),
    right("writes_to_stderr", "stderr", STDERR),
    solved("honest_prints_in_the_function", "stderr", EARNS_ALL, FINE, gaussian_kl=PRINTS),
    solved("honest_shows_in_the_function", "figures", EARNS_ALL, FINE, gaussian_kl=SHOWS_IN_THE_FUNCTION),
    right("progress_bars", "progress bar", PROGRESS),
    right("threads_go_on", "stray threads", THREADS, cell="gaussian"),
    right("grad_mode_off", "global state", GRAD_OFF, cell="gaussian"),
    right("other_defaults", "global state", DOUBLE, cell="gaussian"),
    right("inference_mode_on", "global state", INFERENCE, cell="gaussian"),
    right("signals_and_limits", "global state", SIGNALS, cell="gaussian"),
    right("slow_cell", "slow", SLOW),
    solved("honest_slow_function", "slow", EARNS_ALL, FINE, gaussian_kl=SLOW_FUNCTION),
    right("figures_open", "figures", FIGURES, cell="gaussian"),
    variants("torchs_own", "torch's Normal", "logsigmoid both ways", "torch's kl_divergence"),
    variants("loops_and_einsum", sorted(VARIANTS["ReparameterizedDiagonalGaussian"])[0], "a loop over the batch", "cross-entropy minus entropy"),
    right("magics", "other shape", MAGICS),
    solved("honest_timed_cell", "other shape", EARNS_ALL, FINE, gaussian_kl=TIMED),
    right("awaits", "other shape", AWAITED),
    right("loader_workers", "other shape", LOADER),
    right("worker_processes", "other shape", PROCESSES),
    right("writes_files", "other shape", FILES, cell="gaussian"),
    right("shows_things", "other shape", after=SHOWS),
    right("own_tests", "other shape", after=OWN_TESTS, cell="gaussian_kl"),
    solved("honest_tabs_and_umlauts", "other shape", EARNS_ALL, FINE, bernoulli=QUIRKS),
    right("installs", "other shape", INSTALLS),
    noted("honest_helper_cell", "other shape", FINE, with_helper),
    noted("honest_lost_picture", "other shape", FINE, lost_picture),
    noted("honest_run_before", "other shape", FINE, run_before),
    right("witness_first", "right", WITNESS),
    right("witness_second", "right", WITNESS, cell="gaussian"),
    right("witness_third", "right", WITNESS, cell="gaussian_kl"),
)
