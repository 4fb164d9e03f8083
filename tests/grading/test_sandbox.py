"""What code in the sandbox can see, change, use up, and leave behind: nothing that is not its own."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from sandboxed import SMALL, said, session

from autograder.grading import bubblewrap as module
from autograder.grading.sandbox import Sandbox, SandboxError, find_mode
from autograder.grading.session import Lost, close

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")]
ROOT = Path(__file__).parents[2]
PATIENT = 30.0  # seconds for what ends by itself at once, on a machine that has other things to do


@pytest.fixture(scope="module", autouse=True)
def warm():
    yield
    close()


@pytest.fixture
def run():
    """run(source) -> what the cell said, in one submission's process."""
    with session() as opened:
        yield lambda source, seconds=PATIENT: said(opened.run(source, seconds))


# --- seeing ----------------------------------------------------------------------------------------


def test_there_is_no_network(run):
    assert run("import socket; [name for _, name in socket.if_nameindex()]") == "['lo']"
    assert "OSError" in run("socket.create_connection(('192.0.2.1', 80), 1)") or "unreachable" in run("socket.create_connection(('192.0.2.1', 80), 1)")


def test_of_the_course_only_what_a_notebook_imports_is_there(run):
    seen = json.loads(run("import json, os, autograder; print(json.dumps(sorted(os.listdir(os.path.dirname(autograder.__file__)))))"))
    assert seen == ["__init__.py", "border.py", "channel.py", "exercises", "inside", "probing.py", "timing.py", "units"]
    listed = "print(json.dumps(sorted(f for _, _, names in os.walk(os.path.dirname(autograder.__file__) + '/{}') for f in names)))"
    assert set(json.loads(run(listed.format("units")))) == {"__init__.py", "probes.py"}
    assert json.loads(run(listed.format("exercises"))) == ["__init__.py", "functions.py", "recording.py", "tables.py"]
    assert "ModuleNotFoundError" in run("import autograder.units.vae.gaussian_kl")
    assert "ModuleNotFoundError" in run("import autograder.exercises.naming")
    assert set(json.loads(run(f"print(json.dumps(os.listdir({str(ROOT)!r})))"))) <= {".venv", "autograder", "lib"}
    assert run("from elbolab.inference import VariationalInference; from autograder import check, hint, progress; check('x', 1), hint('x')") == "(None, None)"


def test_the_environment_is_only_ours(monkeypatch):
    monkeypatch.setenv("CANARY", "tweet")
    close()
    with session() as opened:
        seen = json.loads(said(opened.run("import json, os; print(json.dumps(dict(os.environ)))", PATIENT)))
    expected = module.environment()
    assert {k: v for k, v in seen.items() if k in expected} == expected | {"HOME": seen["HOME"]}
    assert not set(seen) - set(expected) - {"PWD", "LC_CTYPE", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"}
    assert "tweet" not in str(seen)


def test_other_processes_cannot_be_read_or_traced(run):
    read = """
import glob
found = []
for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/mem') + glob.glob('/proc/[0-9]*/' + 'root' + '/etc') + glob.glob('/proc/[0-9]*/fd/*'):
    if path.split('/')[2] in ('self', str(os.readlink('/proc/self'))):
        continue
    try:
        open(path, 'rb').read(1) if 'root' not in path and '/fd/' not in path else os.listdir(path) if 'root' in path else os.readlink(path)
        found.append(path)
    except OSError:
        pass
print(found)"""
    run("import os")
    assert run(read) == "[]"
    assert run("import ctypes; [ctypes.CDLL(None).ptrace(16, pid, 0, 0) for pid in range(2, 40)].count(0)") == "0"


def test_what_is_forked_has_one_thread_no_socket_and_nothing_open_but_its_pipes(run):
    assert run("import os; len(os.listdir('/proc/self/task'))") == "1"
    listed = run("print(sorted(os.readlink(f'/proc/self/fd/{n}').split(':')[0] for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')))")
    assert "socket" not in listed and listed.count("pipe") == 2


# --- changing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/x", "/usr/x", "/etc/x", "/dev/x", "/run/x", "/home/x", f"{ROOT}/x", f"{ROOT}/lib/elbolab/x", f"{sys.prefix}/x",
                                  f"{ROOT}/autograder/x", f"{ROOT}/autograder/inside/x"])
def test_the_system_is_read_only(run, path):
    assert "OSError" in (text := run(f"open({path!r}, 'w')")) or "PermissionError" in text


def test_it_holds_no_capability_and_cannot_undo_its_mounts(run):
    assert run("[line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')] == ['0' * 16] * 5") == "True"
    assert run("import ctypes; libc = ctypes.CDLL(None); [libc.umount2(p, 2) for p in (b'/tmp', b'/home/student', b'/dev/shm')]") == "[-1, -1, -1]"


@pytest.mark.parametrize("call", [
    "libc.unshare(0x10000000)", "libc.unshare(0x20000)", "libc.memfd_create(b'x', 0)", "libc.shmget(0, 4096, 0o1600)", "libc.ptrace(0, 0, 0, 0)",
    "libc.mount(b'x', b'/tmp', b'tmpfs', 0, None)", "libc.syscall(56, 0x10000011, 0, 0, 0, 0)",
])
def test_calls_that_get_around_the_limits_are_refused(run, call):
    assert run(f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); {call}, ctypes.get_errno()") == "(-1, 1)"


def test_threads_and_processes_start_all_the_same(run):
    source = """
import multiprocessing, subprocess, threading
from torch.utils.data import DataLoader
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
print(subprocess.run(["echo", "process"], capture_output=True, text=True).stdout.strip(), len(list(DataLoader(range(4), num_workers=2))))"""
    assert run(source) == "thread\nprocess 4"


def test_nothing_is_left_for_the_next_submission():
    leave = """
import os, sys, builtins, ctypes, torch
for folder in ('/tmp', '/dev/shm', os.path.expanduser('~')):
    open(folder + '/left', 'w').write('x')
os.makedirs(os.path.expanduser('~/.ipython/profile_default/startup'), exist_ok=True)
open(os.path.expanduser('~/.ipython/profile_default/startup/a.py'), 'w').write('leak = 1')
builtins.leak = torch.leak = 1
torch.set_default_dtype(torch.float64)
libc = ctypes.CDLL(None)
print("left")"""
    look = """
import os, builtins, ctypes, torch
libc = ctypes.CDLL(None)
print([f for folder in ('/tmp', '/dev/shm', os.path.expanduser('~')) for f in os.listdir(folder)], hasattr(builtins, 'leak'), hasattr(torch, 'leak'),
      torch.get_default_dtype(), libc.shmget(4711, 4096, 0), libc.syscall(249, b'user', b'left', None, 0))"""
    with session() as first:
        assert said(first.run(leave, PATIENT)) == "left"
    with session() as second:
        assert said(second.run(look, PATIENT)) == "[] False False torch.float32 -1 -1"


def test_files_handed_in_lie_in_the_working_folder():
    with session(files={"helper.py": b"def f(): return 41", "data/x.txt": b"y", "../../out": b"z"}) as opened:
        assert said(opened.run("import helper; helper.f(), open('data/x.txt').read()", PATIENT)) == "(41, 'y')"


# --- using up --------------------------------------------------------------------------------------


def test_memory_is_limited(run):
    assert "MemoryError" in run("x = bytearray(2 << 30)")
    assert run("1 + 1") == "2"


def test_memory_of_many_processes_is_limited():
    fill = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = bytearray(os.urandom(1 << 20) * 300)
        time.sleep(60)
time.sleep(60)"""
    with session() as opened, pytest.raises(Lost, match="memory"):
        opened.run(fill, 30)


def test_memory_that_nobody_looks_at_is_limited():
    """Shared memory that children keep mapped, and never touch, is in no process's resident size."""
    code = """
import mmap, os, time
for _ in range(8):
    region = mmap.mmap(-1, 128 << 20)
    if os.fork() == 0:
        time.sleep(60)
    region.write(bytes(len(region)))
    region.close()
time.sleep(3)"""
    with session() as opened, pytest.raises(Lost, match="memory"):
        opened.run(code, 30)


@pytest.mark.parametrize("bomb", ["import os\nwhile True: os.fork()", "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()"])
def test_processes_and_threads_are_limited(bomb):
    with session() as opened:
        assert "Error" in said(opened.run(bomb, PATIENT))
    with session() as opened:
        assert said(opened.run("1 + 1", PATIENT)) == "2"


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "~"])
def test_disk_is_limited(run, folder):
    fill = f"import os\nfor n in range(100): open(os.path.expanduser('{folder}/') + str(n), 'wb').write(bytes(1 << 20))"
    assert "OSError" in run(fill)


def test_endless_output_ends_the_cell():
    with session() as opened, pytest.raises(Lost, match="output"):
        opened.run("from IPython.display import display\nwhile True: display({'text/plain': 'x' * 100_000}, raw=True)", 30)


def test_endless_text_is_cut(run):
    assert len(run("for n in range(10 ** 6): print('x' * 100)", 5.0)) < 300_000


def test_a_cell_that_never_ends_is_stopped(run):
    assert "ran too long" in run("while True: pass", 1.0)
    assert run("1 + 1") == "2"


def test_a_cell_that_cannot_be_stopped_is_ended():
    stubborn = "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nwhile True: time.sleep(1)"
    with session() as opened, pytest.raises(Lost, match="late"):
        opened.run(stubborn, 0.5)


@pytest.mark.parametrize("end", ["import os; os._exit(0)", "import os; os.closerange(0, 100)", "import ctypes; ctypes.string_at(0)", "import os; os.abort()"])
def test_a_process_that_ends_is_noticed(end):
    with session() as opened, pytest.raises(Lost, match="ended"):
        opened.run(end, PATIENT)
        opened.run("1 + 1", PATIENT)


def test_everything_is_dead_when_it_ends():
    daemon = """
import os, sys, subprocess, signal
for n in range(3):
    subprocess.Popen([sys.executable, '-c', 'import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(600)  # elbolab-daemon-marker'],
                     start_new_session=True)"""
    from sandboxed import processes_with

    with session() as opened:
        opened.run(daemon, PATIENT)
        assert processes_with("elbolab-daemon-marker")
    assert not processes_with("elbolab-daemon-marker")


def test_killing_all_it_sees_harms_only_itself():
    with session() as opened:
        try:
            opened.run("import os, signal\nfor pid in [-1, 0, *range(2, 300)]:\n    try: os.kill(pid, 9)\n    except OSError: pass", PATIENT)
        except Lost:
            pass
    with session() as opened:
        assert said(opened.run("1 + 1", PATIENT)) == "2"


# --- kinds of machines -----------------------------------------------------------------------------


def test_without_bubblewrap_there_is_one_sentence_that_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    find_mode.cache_clear()
    try:
        with pytest.raises(SandboxError, match="not installed.*apt install bubblewrap.*--no-sandbox"):
            find_mode()
    finally:
        find_mode.cache_clear()


def test_other_systems_are_refused(monkeypatch):
    monkeypatch.setattr(module.sys, "platform", "darwin")
    find_mode.cache_clear()
    try:
        with pytest.raises(SandboxError, match="darwin.*--no-sandbox"):
            find_mode()
    finally:
        find_mode.cache_clear()


SMOKE = """
import json, sys
sys.path[:0] = {paths!r}
from sandboxed import said, session
from autograder.grading.sandbox import find_mode
from autograder.grading.session import warm_sandbox, close
with session() as opened:
    text = said(opened.run("import os, torch, matplotlib.pyplot as plt; plt.plot([1]); print(os.getuid(), float(torch.ones(2).sum()))", 20))
with session() as opened:
    again = said(opened.run("import os; os.listdir('.')", 20))
from sandboxed import SMALL
mode, facts = find_mode(), warm_sandbox("bubblewrap", SMALL).facts
close()
print(json.dumps([mode.user, mode.proc, facts["isolated"], text.split(chr(10))[0], again]))
"""


def smoke(prefix, python=sys.executable, course=ROOT):
    code = SMOKE.format(paths=[str(Path(__file__).parent), str(course)])
    done = subprocess.run([*prefix, python, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().split("\n")[-1])


def test_in_a_container_that_refuses_a_new_proc():
    """As in many containers: something is mounted over a part of /proc, so the kernel refuses to mount a fresh one."""
    container = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--unshare-pid", "--proc", "/proc", "--tmpfs", "/proc/tty", "--die-with-parent"]
    user, proc, isolated, text, again = smoke(container)
    assert (user, proc, isolated) == ("namespace", "none", True)
    assert text.endswith(" 2.0") and again == "[]"


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to become somebody else")
def test_as_an_ordinary_user():
    plain = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"]
    if not all(folder.stat().st_mode & 0o001 for start in (sys.prefix, sys.base_prefix) for folder in Path(start).parents):
        pytest.skip("this Python lies where other users cannot read it")
    user, proc, isolated, text, again = smoke(plain)
    assert (user, isolated) == ("namespace", True) and text == "4711 2.0" and again == "[]"


@pytest.mark.parametrize("place", ["/tmp", "/home/student"])
def test_a_course_in_a_folder_that_submissions_have_for_themselves(place, tmp_path):
    installed = next(Path(sysconfig.get_path("purelib")).glob("__editable__*elbolab*.pth"), None)
    if installed is None or sys.prefix == sys.base_prefix:
        pytest.skip("needs the course installed from its folder, in an environment of its own")
    course, environment = f"{place}/course", f"{place}/course/.venv"
    (tmp_path / "course.pth").write_text(f"{course}\n{course}/lib\n")
    (tmp_path / ".venv").mkdir()
    for part in ("autograder", "lib/elbolab"):
        shutil.copytree(ROOT / part, tmp_path / part)
    there = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--die-with-parent", "--tmpfs", place, "--bind", str(tmp_path), course,
             "--ro-bind", sys.prefix, environment,
             "--ro-bind", str(tmp_path / "course.pth"), f"{environment}/{installed.relative_to(sys.prefix)}"]
    _, _, isolated, text, again = smoke(there, f"{environment}/bin/python", course)
    assert isolated and text.endswith(" 2.0") and again in ("[]", "['course']")


def test_root_goes_on_as_nobody(run):
    if os.getuid() == 0 and find_mode().user == "nobody":
        assert run("import os; os.getuid()") == "65534"


def test_the_parent_s_end_ends_its_children():
    opened = Sandbox("bubblewrap", SMALL, preload=False)
    job = opened.start(seed=1)
    assert not job.finished()
    opened.close()
    time.sleep(0.2)
    assert opened.process.poll() is not None
