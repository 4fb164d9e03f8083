"""The checks on files: whatever a file does, there is one record for each check of it, and the others are not harmed."""

import json
import os
import subprocess
import sys

import pytest
from checking import CODE_CHECKS

from autograder import files
from autograder.catalogue import exercise_of
from autograder.cli import main

FIELDS = ["file", "check", "passed", "points", "max_points", "misconception", "message", "mistakes"]
EXERCISE = exercise_of("gaussian_kl")
PREAMBLE, KL, LIKELIHOOD = EXERCISE.preamble, EXERCISE.solution, exercise_of("bernoulli_log_likelihood").solution
RIGHT = PREAMBLE + KL + "\n\n" + LIKELIHOOD
REVERSED = EXERCISE.source(EXERCISE.mistake("kl_reversed").ways[0])

# Each file, and for vae.gaussian_kl and vae.bernoulli the points and words in the message.
FILES = {
    "right.py": (RIGHT, (3, "All of it holds"), (3, "All of it holds")),
    "wrong.py": (PREAMBLE + REVERSED + LIKELIHOOD, (1, "KL(p||q)"), (3, "")),
    "without_imports.py": (KL + LIKELIHOOD, (3, ""), (3, "")),
    "raises_late.py": (RIGHT + "\n\n1 / 0\n", (3, ""), (3, "")),
    "raises_between.py": (PREAMBLE + KL + "\n\nundefined\n\n" + LIKELIHOOD, (3, ""), (0, "stopped at line 19 with NameError")),
    "raises_in_check.py": (RIGHT.replace("    log_ratio =", "    raise ValueError('no')\n    log_ratio ="), (0, "ValueError"), (3, "")),
    "exits.py": ("import os\nos._exit(0)\n" + RIGHT, (0, "ended by itself"), (0, "ended by itself")),
    "exits_politely.py": (RIGHT + "\nimport sys\nsys.exit(3)\n", (3, ""), (3, "")),
    "exits_in_check.py": (RIGHT.replace("    log_ratio =", "    import os; os._exit(7)\n    log_ratio ="), (0, "ended by itself"), (0, "")),
    "kills_itself.py": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", (0, "ended by itself"), (0, "")),
    "aborts.py": ("import os\nos.abort()\n", (0, "SIGABRT"), (0, "SIGABRT")),
    "segfault.py": ("import ctypes\nctypes.string_at(0)\n", (0, "SIGSEGV"), (0, "SIGSEGV")),
    "syntax.py": ("def gaussian_kl(:\n    pass\n", (0, "Line 1 of the file is not valid Python"), (0, "")),
    "indentation.py": ("def gaussian_kl():\nreturn 1\n", (0, "Line 2"), (0, "")),
    "empty.py": ("", (0, "defines no `gaussian_kl`"), (0, "defines no `bernoulli_log_likelihood`")),
    "near_name.py": (RIGHT.replace("gaussian_kl", "gaussian_KL"), (0, "It has `gaussian_KL`"), (3, "")),
    "magics.py": ("%matplotlib inline\n!pip install nothing\n" + RIGHT + "\nget_ipython().run_line_magic('time', '')\n", (3, ""), (3, "")),
    "main.py": (RIGHT + '\nif __name__ == "__main__":\n    raise SystemExit("this must not run")\n', (3, ""), (3, "")),
    "prints.py": ("import os, sys\nprint('x' * 10**6)\nos.write(1, b'noise')\nos.write(2, b'noise')\n" + RIGHT, (3, ""), (3, "")),
    "closes_files.py": ("import os\nos.closerange(0, 3)\n" + RIGHT, (3, ""), (3, "")),
    "starts_threads.py": ("import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n" + RIGHT, (3, ""), (3, "")),
    "leaves_processes.py": ("import subprocess\nsubprocess.Popen(['sleep', '600'])\n" + RIGHT, (3, ""), (3, "")),
    "grad_off.py": (RIGHT + "\ntorch.set_grad_enabled(False)\ntorch.set_default_dtype(torch.float64)\n", (3, ""), (3, "")),
    "with_bom.py": ("\ufeff" + RIGHT, (3, ""), (3, "")),
    "name is odd [1].py": (RIGHT, (3, ""), (3, "")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("submissions")
    for name, (source, *_) in FILES.items():
        (path / name).write_text(source, encoding="utf-8")
    (path / "latin1.py").write_bytes("# caf\u00e9\n".encode("latin-1") + RIGHT.encode())
    return path


def run(folder, *arguments, cwd=None):
    command = [sys.executable, "-m", "autograder.cli", "check", *arguments]
    return subprocess.run(command, cwd=cwd or folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def whole_class(folder):
    """All files in one process of the command, as a grader runs it."""
    names = [*FILES, "latin1.py", "missing.py"]
    done = run(folder, "vae.gaussian_kl,vae.bernoulli", *names, "--json", "--seed", "4")
    return names, done, [json.loads(line) for line in done.stdout.splitlines()]


def test_one_record_for_each_file_and_check(whole_class):
    names, done, records = whole_class
    assert [(r["file"], r["check"]) for r in records] == [(n, c) for n in names for c in ("vae.gaussian_kl", "vae.bernoulli")]
    assert all(list(r) == FIELDS for r in records)
    assert done.returncode == 1 and done.stderr == "" and "Traceback" not in done.stdout
    for r in records:
        assert r["max_points"] == 3 and 0 <= r["points"] <= 3 and r["passed"] == (r["points"] == 3)
        assert isinstance(r["message"], str) and r["message"] and "\n" not in r["message"]


@pytest.mark.parametrize("name", FILES)
def test_files(whole_class, name):
    found = [r for r in whole_class[2] if r["file"] == name]
    for record, (points, words) in zip(found, FILES[name][1:], strict=True):
        assert record["points"] == points and words in record["message"], record


def test_unreadable_files(whole_class):
    said = {r["file"]: r["message"] for r in whole_class[2]}
    assert "cannot be read" in said["latin1.py"] and "not UTF-8" in said["latin1.py"]
    assert "cannot be read" in said["missing.py"] and "No such file" in said["missing.py"]


def test_mistakes_are_named(whole_class):
    named = {r["file"]: r["misconception"] for r in whole_class[2] if r["check"] == "vae.gaussian_kl"}
    assert named["wrong.py"] == "kl_reversed" and named["right.py"] is None


def test_no_process_is_left(whole_class):
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=False).stdout
    assert not [line for line in listed.splitlines() if line.split() == ["1", "sleep", "600"]]


def test_text_output_and_exit_codes(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["check", "vae.gaussian_kl", "right.py", "main.py"]) == 0
    out = capsys.readouterr()
    assert out.err == "" and [line[:4] for line in out.out.splitlines()] == ["ok  ", "ok  "]
    assert main(["check", "vae.gaussian_kl", "right.py", "wrong.py"]) == 1
    out = capsys.readouterr()
    assert "FAIL wrong.py vae.gaussian_kl 1/3 [kl_reversed]" in out.out
    assert main(["check", "vae.gausian_kl", "right.py"]) == 2
    out = capsys.readouterr()
    assert out.out == "" and "no check called" in out.err and "vae.gaussian_kl" in out.err
    assert main(["check", "vae.gaussian_kl"]) == 2
    assert main(["check", ",", "right.py"]) == 2
    assert main(["check", "list"]) == 0
    assert all(c.name in capsys.readouterr().out for c in CODE_CHECKS[:1])
    with pytest.raises(SystemExit) as stopped:
        main(["check", "vae.gaussian_kl", "right.py", "--seed", "seven"])
    assert stopped.value.code == 2


def test_a_seed_reproduces(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)

    def evidence(seed):
        return [v.findings for _, v in files.check_files(CODE_CHECKS[5:6], ["wrong.py"], seed)]

    assert evidence(5) == evidence(5) != evidence(6)
    assert evidence(None) != evidence(None)  # fresh inputs each time


def test_endless_files(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FILE_SECONDS", 0.6)
    monkeypatch.setattr(files, "PROBE_SECONDS", 0.6)
    (tmp_path / "loop.py").write_text(KL + "\nwhile True:\n    pass\n" + LIKELIHOOD)
    (tmp_path / "loop_in_check.py").write_text(RIGHT.replace("    log_ratio =", "    while True: pass\n    log_ratio ="))
    (tmp_path / "right.py").write_text(RIGHT)
    checks = [c for c in CODE_CHECKS if c.name in ("vae.gaussian_kl", "vae.bernoulli")]
    found = {(os.path.basename(f), v.check): v for f, v in files.check_files(checks, [str(p) for p in sorted(tmp_path.glob("*.py"))], 1)}
    assert found["loop.py", "vae.gaussian_kl"].passed  # defined before the loop
    assert "still running after 0.6 seconds" in found["loop.py", "vae.bernoulli"].message
    assert "still running after 0.6 seconds" in found["loop_in_check.py", "vae.gaussian_kl"].message
    assert found["loop_in_check.py", "vae.bernoulli"].passed
    assert found["right.py", "vae.gaussian_kl"].passed and found["right.py", "vae.bernoulli"].passed


@pytest.mark.slow
def test_a_file_that_blocks_the_alarm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FILE_SECONDS", 0.5)
    monkeypatch.setattr(files, "PROBE_SECONDS", 0.5)
    path = tmp_path / "deaf.py"
    path.write_text("import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.Signals)\nwhile True:\n    pass\n")
    ((_, verdict),) = files.check_files(CODE_CHECKS[2:3], [str(path)], 1)
    assert "still running after its time limit" in verdict.message


FORGERIES = {
    "garbage": "struct.pack('<Q', 4) + b'abcd'",
    "a huge length": "struct.pack('<Q', 2**63) + b'abcd'",
    "half a length": "b'abc'",
    "empty outputs": "message({'d': {'vae.gaussian_kl': {'d': {}}}})",
    "no dict": "message({'d': {'vae.gaussian_kl': 3}})",
    "numbers for tensors": "message({'d': {'vae.gaussian_kl': {'d': {'value': 1, 'again': 'x', 'unattached': False}}}})",
}


def test_forged_replies_fail_the_check_and_not_the_grader(tmp_path):
    """A submission may find the pipe and write to it; what it writes is judged, and nothing more."""
    for number, forgery in enumerate(FORGERIES.values()):
        (tmp_path / f"forger{number}.py").write_text(
            "import io, json, os, struct\nimport numpy as np\n\n"
            "def message(tree):\n    out = io.BytesIO()\n"
            "    np.savez(out, tree=np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8))\n"
            "    return struct.pack('<Q', len(out.getvalue())) + out.getvalue()\n\n"
            f"data = {forgery}\n"
            "for fd in range(3, 200):\n    try:\n        os.write(fd, data)\n    except OSError:\n        pass\n"
            "os._exit(0)\n"
        )
    (tmp_path / "right.py").write_text(RIGHT)
    names = [f"forger{number}.py" for number in range(len(FORGERIES))]
    done = run(tmp_path, "vae.gaussian_kl", *names, "right.py", "--json")
    assert done.returncode == 1 and done.stderr == "", done.stderr[-500:]
    *records, last = map(json.loads, done.stdout.splitlines())
    assert [r["file"] for r in records] == names and last["passed"]
    assert all(not r["passed"] and r["points"] == 0 and r["message"] for r in records)
