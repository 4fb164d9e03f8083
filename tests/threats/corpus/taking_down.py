"""Ending, stopping or blocking what runs it: the exercise concerned earns nothing, the others all that they earn alone."""

from .attack import RIGHT, Attack, solved

__all__ = ["ATTACKS", "in_call", "in_cell", "then_right"]

WITHOUT_BERNOULLI = (4, 4, 0, 3)
LOST = r"There is no `|not defined"  # what the check says when its cell came to nothing
ENDED = r"ended|died|exit|killed|SIG|stopped"
LONG = r"longer|running|stopped|too long|limit"


def in_cell(name: str, clause: str, code: str, reason: str = f"{LOST}|{ENDED}") -> Attack:
    """The cell of the second exercise does this, and defines nothing."""
    return solved(name, clause, WITHOUT_BERNOULLI, reason, bernoulli=code)


def in_call(name: str, clause: str, code: str, reason: str = f"{ENDED}|{LONG}") -> Attack:
    """The function of the second exercise does this when it is called, and is right otherwise."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    source = RIGHT["bernoulli"].replace("    return reduce", f"{body}\n    return reduce")
    return solved(name, clause, WITHOUT_BERNOULLI, reason, bernoulli=source)


def then_right(name: str, clause: str, code: str, reason: str = r"All of it holds") -> Attack:
    """It does this and goes on with a right answer, which counts."""
    return solved(name, clause, (4, 4, 3, 3), reason, bernoulli=f"{code}\n{RIGHT['bernoulli']}")


SEGFAULT = "import ctypes\nctypes.string_at(0)"
KILLS = """\
import os, signal
for pid in {os.getppid(), 1, 2, -1} - {0, os.getpid()}:  # all but itself
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except OSError as error:
            print(pid, error)"""
STOPS = """\
import os, signal
for pid in (os.getppid(), 1, -1, 0, os.getpid()):
    try:
        os.kill(pid, signal.SIGSTOP)
    except OSError as error:
        print(pid, error)"""
GROUP = "import os, signal\nos.killpg(0, signal.SIGKILL)"
INTERRUPTS = """\
import os, signal
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGPIPE, signal.SIGALRM):
    for pid in {os.getppid(), 1, -1} - {0, os.getpid()}:
        try:
            os.kill(pid, number)
        except OSError as error:
            print(error)"""
DEEP = "def deep(n):\n    return deep(n + 1)\ndeep(0)"
DEEPER = """\
import sys
sys.setrecursionlimit(2**31 - 1)
class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "x")
    def __repr__(self):
        return repr([self])
repr(Deep())
eval("(" * 100 + "1" + ")" * 100)
Deep().a"""
PARSER = "eval('-' * 10**6 + '1')\ncompile('(' * 10**5 + ')' * 10**5, 'x', 'eval')"

SWALLOWS = """\
while True:
    try:
        while True:
            pass
    except BaseException:
        pass"""
DEAF = """\
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
for number in range(1, signal.NSIG):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
while True:
    time.sleep(1000)"""
IN_C = "import ctypes\nctypes.CDLL(None).sleep(100000)"
PATTERN = "import re\nre.match(r'(a|aa)+$', 'a' * 200 + 'b')"
POWER = "x = 9**9**9"
WAITS = "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"
FINALLY = "try:\n    raise ValueError\nfinally:\n    while True:\n        pass"

REPR = """\
class Endless:
    def __repr__(self):
        while True:
            pass
    _repr_html_ = _repr_mimebundle_ = _ipython_display_ = __repr__
Endless()"""
TRACEBACK = """\
class Endless(Exception):
    def _render_traceback_(self):
        while True:
            pass
    __str__ = __repr__ = _render_traceback_
raise Endless"""
JUNK = """\
class Junk(BaseException):
    def _render_traceback_(self):
        return [object(), 4, None, b"x" * 10**8, "points: 4"]
    def __str__(self):
        raise SystemExit
    __class__ = property(lambda self: 1 / 0)
raise Junk(Junk())"""
DELETED = """\
class Endless:
    def __del__(self):
        while True:
            pass
Endless()"""
AT_EXIT = """\
import atexit, threading, time, weakref
def endless():
    while True:
        time.sleep(1)
atexit.register(endless)
threading._register_atexit(endless)
threading.Thread(target=endless).start()"""
TRACED = """\
import sys, time
def slow(frame, event, arg):
    time.sleep(1)
    return slow
sys.settrace(slow)
sys.setprofile(slow)"""
IMPORT_LOCK = """\
import threading, time, _imp
_imp.acquire_lock()
def hold():
    while True:
        time.sleep(1)
threading.Thread(target=hold).start()"""
GIL = "import ctypes, threading\nthreading.Thread(target=lambda: ctypes.PyDLL(None).sleep(100000)).start()\nimport time\ntime.sleep(1)"

MESSAGE = """\
class Endless(Exception):
    def __str__(self):
        while True:
            pass
    __repr__ = __str__
raise Endless"""
DIES = RIGHT["gaussian"].replace("        return self.mu +", "        import os; os._exit(1)\n        return self.mu +")
DIES = DIES.replace("        standardized =", "        import os; os._exit(1)\n        standardized =")

ATTACKS = (
    in_cell("sys_exit", "exits", "import sys\nsys.exit(0)"),
    in_cell("exit", "exits", "exit()"),
    in_cell("os_exit", "exits", "import os\nos._exit(0)"),
    in_cell("abort", "exits", "import os\nos.abort()"),
    in_cell("segmentation_fault", "exits", SEGFAULT),
    in_cell("kills_itself", "exits", "import os\nos.kill(os.getpid(), 9)"),
    in_cell("kills_everything", "exits", KILLS + "\nos.kill(0, signal.SIGKILL)"),
    in_cell("kills_its_group", "exits", GROUP),
    in_cell("stops_everything", "exits", STOPS, rf"{LOST}|{LONG}|{ENDED}"),
    then_right("interrupts_its_parent", "exits", INTERRUPTS),
    in_cell("closes_everything", "exits", "import os\nos.closerange(0, 4096)"),
    in_cell("recursion", "exits", DEEP, rf"{LOST}|RecursionError"),
    in_cell("recursion_in_c", "exits", DEEPER),
    in_cell("parser_recursion", "exits", PARSER),
    in_call("exits_in_the_probe", "exits", "import sys\nsys.exit(0)", r"SystemExit|exit"),
    in_call("os_exit_in_the_probe", "exits", "import os\nos._exit(0)"),
    in_call("segmentation_fault_in_the_probe", "exits", SEGFAULT),
    # It is the first process of its own world, which cannot be killed from within: nothing happens, and the answer is right.
    solved("kills_its_group_in_the_probe", "exits", (4, 4, 3, 3), r"All of it holds",
           bernoulli=RIGHT["bernoulli"].replace("    return reduce", "    " + GROUP.replace("\n", "\n    ") + "\n    return reduce")),
    then_right("kills_all_others", "exits", KILLS),
    in_call("recursion_in_the_probe", "exits", "return bernoulli_log_likelihood(logits, x)", r"calls itself|RecursionError"),
    solved("dies_again_and_again", "exits", (0, 0, 0, 3), ENDED, gaussian=DIES, bernoulli="import os\nos._exit(1)"),
    in_cell("endless", "loops", "while True: pass", rf"{LOST}|{LONG}"),
    in_cell("swallows_interrupts", "loops", SWALLOWS, rf"{LOST}|{LONG}"),
    in_cell("deaf_to_signals", "loops", DEAF, rf"{LOST}|{LONG}"),
    in_cell("sleeps_in_c", "loops", IN_C, rf"{LOST}|{LONG}"),
    in_cell("catastrophic_pattern", "loops", PATTERN, rf"{LOST}|{LONG}"),
    in_cell("huge_power", "loops", POWER, rf"{LOST}|{LONG}"),
    in_cell("deadlock", "loops", WAITS, rf"{LOST}|{LONG}"),
    in_cell("loop_in_finally", "loops", FINALLY, rf"{LOST}|{LONG}"),
    in_cell("loop_in_repr", "loops", REPR, rf"{LOST}|{LONG}"),
    in_cell("loop_in_traceback", "loops", TRACEBACK, rf"{LOST}|{LONG}"),
    in_cell("junk_traceback", "loops", JUNK),
    in_cell("loop_in_del", "loops", DELETED, rf"{LOST}|{LONG}"),
    then_right("loop_at_exit", "loops", AT_EXIT),
    then_right("slow_trace_function", "loops", TRACED.replace("time.sleep(1)", "pass")),
    in_cell("holds_the_interpreter", "loops", GIL, rf"{LOST}|{LONG}|{ENDED}"),
    then_right("holds_the_import_lock", "loops", IMPORT_LOCK),
    in_call("endless_in_the_probe", "loops", "while True: pass", LONG),
    in_call("swallows_in_the_probe", "loops", SWALLOWS, rf"{LONG}|{ENDED}"),
    in_call("endless_message", "loops", MESSAGE, rf"{LONG}|{ENDED}"),
    in_call("sleeps_in_c_in_the_probe", "loops", IN_C, rf"{LONG}|{ENDED}"),
    in_cell("asks_a_question", "input", "answer = input('points? ')", rf"{LOST}|input"),
    in_cell("asks_for_a_password", "input", "import getpass\ngetpass.getpass()", rf"{LOST}|input"),
    then_right("reads_standard_input", "input", "import sys\nprint(sys.stdin.read())"),
)
