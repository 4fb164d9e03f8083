"""Too much of something: memory, processes, threads, files, output; and what goes on when it should have ended."""

import io
import zipfile
from pathlib import Path

import nbformat

from .attack import EARNS_ALL, Kit, files
from .taking_down import in_call, in_cell, then_right

__all__ = ["ATTACKS"]

FINE, FULL = r"All of it holds", r"There is no `|memory|Memory|ended|died|stopped|killed"
CROWDED = r"There is no `|ended|died|stopped|longer|limit"

# Each stops at three times what the class may use, so that a sandbox that lets it through costs a failed test and not the machine.
ONE_ARRAY = "x = torch.ones(10**11)"
HOARD = """\
hoard = []
for _ in range(48):
    hoard.append(bytearray(b"x") * (64 * 2**20))
print("FOUND three gigabytes")"""
TOUCHED = """\
import mmap
hoard = []
for _ in range(12):
    region = mmap.mmap(-1, 256 * 2**20)  # shared and anonymous: it is on nobody's heap
    region.write(bytes(len(region)))
    hoard.append(region)
print("FOUND three gigabytes")"""
MEMFD = """\
import os
hoard = []
for _ in range(96):  # in no process' memory, and in no folder
    fd = os.memfd_create("hoard")
    for _ in range(8):
        os.write(fd, bytes(2**22))
    hoard.append(fd)
print("FOUND three gigabytes")"""
DETACHED = """\
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for _ in range(12):  # segments that nobody has mapped
    segment = libc.shmget(0, 256 * 2**20, 0o1600)
    place = libc.shmat(segment, None, 0)
    ctypes.memset(place, 1, 256 * 2**20)
    libc.shmdt(ctypes.c_void_p(place))
print("FOUND three gigabytes")"""
HANDED_ON = """\
import mmap, os, time
for _ in range(12):  # touched here, unmapped here, and kept by a child that never looked at it
    region = mmap.mmap(-1, 256 * 2**20)
    if os.fork() == 0:
        time.sleep(1000)
    region.write(bytes(len(region)))
    region.close()
print("FOUND three gigabytes")"""
OWN_FOLDER = """\
import subprocess
script = "mkdir -p /tmp/m && mount -t tmpfs -o size=100G none /tmp/m && head -c 6G /dev/zero > /tmp/m/a; head -c 6G /dev/zero > /tmp/m/b; ls -l /tmp/m"
for flags in ("-Urm", "-Urmp --fork", "-rm"):
    done = subprocess.run(f"unshare {flags} sh -c '{script} && for i in 1 2 3 4 5 6 7 8 9; do head -c 60M /dev/zero > /tmp/m/$i; done; du -sm /tmp/m'",
                          shell=True, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    if any(line.split()[0].isdigit() and int(line.split()[0]) > 200 for line in done.stdout.splitlines() if line.endswith("/tmp/m")):
        print("FOUND a folder of its own")"""
SHARED = """\
import os
for folder in ("/dev/shm", "/tmp", "/run", "/var/tmp", "."):
    if os.path.isdir(folder) and os.access(folder, os.W_OK):
        with open(os.path.join(folder, "elbothreat_fill"), "wb") as file:
            while True:
                file.write(bytes(2**24))"""
CHILDREN = """\
import os
hoard = []
for _ in range(16):  # what none of them may have alone they have together
    if os.fork() == 0:
        hoard.append(b"x" * (200 * 2**20))
        import time
        time.sleep(1000)
import time
time.sleep(1000)"""
FORKS = "import os\nwhile True:\n    os.fork()"
STUBBORN_FORKS = """\
import os
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except BaseException:
        pass"""
THREADS = "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(1000,)).start()"
COMMANDS = "import subprocess\nprocesses = []\nwhile True:\n    processes.append(subprocess.Popen(['sleep', '98765']))"
BIG_FILE = "with open('big', 'wb') as file:\n    while True:\n        file.write(bytes(2**24))"
SPARSE = "import os\nfd = os.open('sparse', os.O_RDWR | os.O_CREAT)\nos.ftruncate(fd, 2**50)\nos.posix_fallocate(fd, 0, 2**40)"
MANY_FILES = "n = 0\nwhile True:\n    open(f'file{n}', 'w').write('x')\n    n += 1"
DEEP_FOLDERS = "import os\nfor _ in range(5_000):\n    os.mkdir('d')\n    os.chdir('d')"
DESCRIPTORS = "hoard = []\nwhile True:\n    hoard.append(open('/dev/null'))"
PIPES = """\
import os, fcntl
hoard = []
while True:
    a, b = os.pipe()
    fcntl.fcntl(b, 1031, 2**20)
    os.write(b, bytes(2**20))
    hoard += [a, b]"""

ONE_LINE = "import sys\nfor _ in range(20_000):\n    sys.stdout.write('x' * 1000)"
MANY_LINES = "for n in range(300_000):\n    print(n)"
RAW = "import os\nfor _ in range(40):\n    os.write(1, b'y' * 10**6)\n    os.write(2, b'z' * 10**6)"
ENDLESS_OUTPUT = "while True:\n    print('x' * 1000)"
IMAGES = """\
import os
from IPython.display import Image, display
for _ in range(30):
    display(Image(data=b"\\x89PNG\\r\\n\\x1a\\n\\0\\0\\0\\rIHDR" + bytes([0, 0, 1, 0] * 2) + os.urandom(10**6), format="png"))"""
FIGURES = "import matplotlib.pyplot as plt\nfor n in range(25):\n    plt.figure(figsize=(1, 1))\n    plt.plot([n, 1])\nplt.show()"
HUGE_FIGURE = "import matplotlib.pyplot as plt\nplt.figure(figsize=(3000, 3000))\nplt.plot([1, 2])\nplt.show()"
METADATA = """\
from IPython.display import display, publish_display_data
publish_display_data({"text/plain": "x"}, metadata={"a" * 10**6: ["b" * 10**6] * 20})
publish_display_data({f"text/x{n}": "c" * 1000 for n in range(20_000)})
publish_display_data({"application/json": eval("[" * 90 + "]" * 90)})
display({"text/html": 7, "image/png": None, 3: object()}, raw=True)"""
UPDATES = """\
from IPython.display import clear_output, display
handle = display("start", display_id=True)
for n in range(12_000):
    handle.update("x" * 100)
for n in range(8_000):
    clear_output(wait=n % 2 == 0)"""
WIDGETS = """\
import ipywidgets
from IPython.display import display
for _ in range(30):
    display(ipywidgets.Textarea(value="w" * 10**6))
bar = ipywidgets.IntProgress()
for n in range(5_000):
    bar.value = n"""
LAST_VALUE = "'v' * (50 * 10**6)"
ERROR = "raise ValueError('e' * (50 * 10**6))"
TITLE = "print('\\x1b[8m\\x1b]0;owned\\x07' + '\\u202e' * 1000 + '\\ud800' + chr(0) * 1000)"

# Ends three times over, ignores every signal, and then goes on.
DAEMON = """\
import ctypes, os, signal, time
def outlive():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    ctypes.CDLL(None).prctl(15, b"elbothreat", 0, 0, 0)
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError, RuntimeError):
            pass
    while True:
        time.sleep(0.2)
        for folder in ("/tmp", "/dev/shm", PLACES["outside"], PLACES["submitted"], "."):
            try:
                open(os.path.join(folder, "elbothreat_late"), "w").write("late")
            except OSError:
                pass
outlive()"""
SLEEPERS = """\
import subprocess
for command in ("nohup sleep 98765 &", "setsid sleep 98765 & disown", "(sleep 98765 &) &"):
    subprocess.Popen(command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"""
THREAD_LEFT = """\
import threading, time
def late():
    while True:
        time.sleep(0.05)
        print("late", flush=True)
threading.Thread(target=late).start()"""
LOADER = """\
from torch.utils.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(torch.arange(64.0)), batch_size=8, num_workers=2, persistent_workers=True, timeout=20)
stream = iter(loader)
print(next(stream))"""
POOL = """\
import multiprocessing
workers = multiprocessing.get_context("fork").Pool(2)
print(workers.map(abs, range(-8, 8)))"""
WORKER_HANGS = """\
from torch.utils.data import DataLoader, Dataset
class Hangs(Dataset):
    def __len__(self): return 8
    def __getitem__(self, n):
        while True: pass
next(iter(DataLoader(Hangs(), num_workers=2)))"""


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def ships_archives(kit: Kit, folder: Path) -> None:
    nbformat.write(kit.solved(), folder / "exercises.ipynb")
    out = "../" * 8 + kit.places["outside"].lstrip("/") + "/unpacked"
    inner = zipped(("zeros", bytes(50 * 2**20)))
    (folder / "exercises.zip").write_bytes(zipped((out, b"out"), ("../../elbothreat_unpacked", b"out"), ("/tmp/elbothreat_unpacked", b"out")))
    (folder / "bomb.zip").write_bytes(zipped(*[(f"{n}.zip", inner) for n in range(20)]))


ATTACKS = (
    in_cell("one_huge_array", "memory", ONE_ARRAY, FULL),
    in_cell("hoards_memory", "memory", HOARD, FULL),
    in_cell("hoards_shared_memory", "memory", TOUCHED, FULL),
    in_cell("hoards_memory_files", "memory", MEMFD, FULL + "|No space|OSError"),
    in_cell("hoards_segments", "memory", DETACHED, FULL),
    in_cell("hoards_through_children", "memory", HANDED_ON, FULL),
    then_right("mounts_a_folder_of_its_own", "memory", OWN_FOLDER),
    in_cell("fills_shared_memory", "memory", SHARED, r"\w{4}"),
    in_cell("hoards_in_children", "memory", CHILDREN, CROWDED + "|" + FULL),
    in_call("hoards_in_the_probe", "memory", HOARD + "\nraise SystemExit", FULL),
    in_cell("fork_bomb", "fork", FORKS, CROWDED + "|cannot be read|unavailable"),
    in_cell("stubborn_fork_bomb", "fork", STUBBORN_FORKS, CROWDED),
    in_call("fork_bomb_in_the_probe", "fork", STUBBORN_FORKS, r"ended|died|stopped|running|longer|limit"),
    in_cell("thread_bomb", "fork", THREADS, CROWDED),
    in_cell("command_bomb", "fork", COMMANDS, CROWDED),
    in_cell("endless_file", "disk", BIG_FILE, CROWDED + "|File too large|No space"),
    in_cell("sparse_file", "disk", SPARSE, CROWDED + "|File too large|No space"),
    in_cell("many_files", "disk", MANY_FILES, CROWDED + "|No space"),
    then_right("deep_folders", "disk", DEEP_FOLDERS),
    in_cell("many_descriptors", "disk", DESCRIPTORS, CROWDED + "|Too many"),
    in_cell("many_pipes", "disk", PIPES, CROWDED + "|Too many"),
    then_right("one_endless_line", "output", ONE_LINE),
    then_right("many_lines", "output", MANY_LINES),
    then_right("raw_output", "output", RAW),
    in_cell("endless_output", "output", ENDLESS_OUTPUT, CROWDED),
    then_right("many_images", "output", IMAGES),
    in_cell("endless_images", "output", IMAGES.replace("for _ in range(30):", "while True:"), CROWDED + "|more output"),
    then_right("many_figures", "output", FIGURES),
    in_cell("huge_figure", "output", HUGE_FIGURE + "\nraise MemoryError", CROWDED + "|" + FULL),
    then_right("huge_metadata", "output", METADATA),
    then_right("many_updates", "output", UPDATES),
    then_right("widget_state", "output", WIDGETS),
    in_cell("huge_value", "output", LAST_VALUE, CROWDED),
    in_cell("huge_error", "output", ERROR, CROWDED),
    then_right("control_characters", "output", TITLE),
    then_right("daemon", "outlive", DAEMON),
    then_right("background_commands", "outlive", SLEEPERS),
    then_right("thread_that_prints", "outlive", THREAD_LEFT),
    then_right("loader_left_open", "workers", LOADER),
    then_right("pool_left_open", "workers", POOL),
    in_cell("worker_that_hangs", "workers", WORKER_HANGS, CROWDED),
    files("ships_archives", "archives", EARNS_ALL, FINE, ships_archives),
)
