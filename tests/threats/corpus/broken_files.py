"""Files that are no notebooks, too large, or not what they are called. One submission's trouble only, and said so."""

import gzip
import json
import os
from pathlib import Path

import nbformat

from .attack import EARNS_ALL, NOTHING, Attack, Kit, files, noted

__all__ = ["ATTACKS"]

NO_NOTEBOOK = r"cannot be (read|graded)"


def file_of(name: str, clause: str, content: bytes, reason: str) -> Attack:
    """These bytes in place of the notebook; nothing can be earned."""
    return Attack(name, clause, lambda kit: content, NOTHING, f"{NO_NOTEBOOK}.*{reason}")


def encoded(encoding: str):
    return lambda notebook: nbformat.writes(notebook).encode(encoding)


def padded(megabytes: int, wide: bool = False):
    """A right notebook with so much output in it."""

    def change(notebook):
        text = "x" * 2**20
        outputs = [nbformat.v4.new_output("stream", text=text) for _ in range(megabytes)]
        if wide:  # many small values take more memory than one long text
            outputs = [{"output_type": "display_data", "data": {"application/json": [[]] * (megabytes * 2**18)}, "metadata": {}}]
        next(c for c in notebook.cells if c.cell_type == "code").outputs = outputs
        return json.dumps(notebook).encode()

    return change


def long_source(notebook):
    """A right answer after a comment of five million characters."""
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "bernoulli")
    cell.source = "# " + "x" * 5_000_000 + "\n" + cell.source


def as_named(file_name: str):
    return lambda kit, folder: write(kit.solved(), folder / file_name)


def write(notebook, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


def beside(**contents: bytes):
    """The right notebook, and these files with it (`_dot_` stands for a point, `_in_` for a slash)."""

    def fill(kit: Kit, folder: Path) -> None:
        write(kit.solved(), folder / "exercises.ipynb")
        for name, content in contents.items():
            path = folder / name.replace("_dot_", ".").replace("_in_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return fill


def two_notebooks(kit: Kit, folder: Path) -> None:
    write(kit.solved(), folder / "exercises.ipynb")
    write(kit.released, folder / "exercises-Copy1.ipynb")
    write(kit.released, folder / ".ipynb_checkpoints" / "exercises-checkpoint.ipynb")


def odd_names(kit: Kit, folder: Path) -> None:
    write(kit.solved(), folder / "exercises.ipynb")
    for name in (b"\xff\xfe.csv", "weißes Rauschen.csv".encode(), "数据.csv".encode(), b"a\nb.txt", b"-rf", b"$(touch elbothreat)", b"x" * 200,
                 b"\x1b]0;elbothreat\x07\x1b[2J.txt", b"..hidden", b"%2e%2e%2fx", b"a b", b"con.txt"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("1,2\n")


def pipe(kit: Kit, folder: Path) -> None:
    os.mkfifo(folder / "exercises.ipynb")


def folder_in_its_place(kit: Kit, folder: Path) -> None:
    write(kit.solved(), folder / "exercises.ipynb" / "exercises.txt")


def device(kit: Kit, folder: Path) -> None:
    (folder / "exercises.ipynb").symlink_to("/dev/zero")


def pipes_beside(kit: Kit, folder: Path) -> None:
    write(kit.solved(), folder / "exercises.ipynb")
    os.mkfifo(folder / "data.csv")
    os.mkfifo(folder / "timestamp.txt")
    deep = folder
    for _ in range(60):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (folder / "loop").symlink_to(".")


def unreadable(kit: Kit, folder: Path) -> None:
    write(kit.solved(), folder / "exercises.ipynb")
    (folder / "exercises.ipynb").chmod(0)


def timestamp(content: bytes) -> dict[str, bytes]:
    return {"timestamp_dot_txt": content}


def truncated(notebook):
    return nbformat.writes(notebook).encode()[:-40]


TIMESTAMP = r"timestamp"

ATTACKS = (
    file_of("text", "not JSON", b"Dear teacher, here is my homework.", "JSON"),
    file_of("python_file", "not JSON", b"def gaussian_kl(): pass\n", "JSON"),
    file_of("picture", "not JSON", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100, "picture"),
    file_of("web_page", "not JSON", b"<!DOCTYPE html><script>alert(1)</script>", "web page"),
    file_of("compressed", "not JSON", gzip.compress(b"{}" * 1000), "compressed"),
    file_of("null_bytes", "not JSON", bytes(5000), "empty|text"),
    noted("cut_off", "not JSON", f"{NO_NOTEBOOK}.*(broke off|JSON)", truncated, NOTHING),
    file_of("a_list", "not JSON", b"[1, 2, 3]", r"\w"),
    file_of("a_number", "not JSON", b"4.0", r"\w"),
    file_of("no_cells_key", "not JSON", b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', r"\w"),
    file_of("cells_no_list", "not JSON", b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": {"a": 1}}', r"\w"),
    file_of("deep_json", "not JSON", b"[" * 200_000 + b"]" * 200_000, r"\w"),
    file_of("deep_metadata", "not JSON", b'{"nbformat": 4, "cells": [], "metadata": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, r"\w"),
    Attack("big_number", "not JSON", lambda kit: b'{"nbformat": ' + b"9" * 10_000 + b', "cells": []}', NOTHING, r"format|exercises"),
    noted("byte_order_mark", "not JSON", r"All of it holds", encoded("utf-8-sig")),
    noted("utf_16", "not JSON", rf"All of it holds|{NO_NOTEBOOK}", encoded("utf-16")),
    file_of("empty_file", "empty", b"", "empty"),
    file_of("only_spaces", "empty", b" \n\t\n", r"empty|JSON"),
    files("empty_folder", "empty", NOTHING, r"no exercises.ipynb|not handed in|empty", lambda kit, folder: None),
    noted("forty_megabytes", "large", r"All of it holds", padded(40)),
    noted("many_small_values", "large", rf"All of it holds|{NO_NOTEBOOK}", padded(4, wide=True)),
    noted("long_source", "large", r"longer than what is read", long_source, (4, 4, 0, 3)),
    files("copy_in_the_name", "file name", EARNS_ALL, r"exercises \(1\)\.ipynb", as_named("exercises (1).ipynb")),
    files("final_in_the_name", "file name", EARNS_ALL, r"final_FINAL", as_named("homework_final_FINAL.ipynb")),
    files("upper_case", "file name", EARNS_ALL, r"Exercises\.IPYNB|Exercises.*handed in", as_named("Exercises.IPYNB")),
    files("in_a_folder", "file name", EARNS_ALL, r"my_homework/exercises\.ipynb", as_named("my_homework/exercises.ipynb")),
    files("with_json_ending", "file name", EARNS_ALL, r"exercises\.ipynb\.json", as_named("exercises.ipynb.json")),
    files("name_of_another", "other name", EARNS_ALL, r"exercises_honest_solved", as_named("exercises_honest_solved.ipynb")),
    files("name_of_the_teacher", "other name", EARNS_ALL, r"instructor", as_named("../01_small/instructor exercises.ipynb")),
    files("two_notebooks", "extra files", EARNS_ALL, r"All of it holds", two_notebooks),
    files("extra_files", "extra files", EARNS_ALL, r"All of it holds", beside(
        notes_dot_txt=b"mine", _dot_DS_Store=b"\0" * 6148, __pycache___in_x_dot_pyc=b"x", gradebook_dot_db=b"SQLite format 3\0", record_dot_json=b"{}",
        nbgrader_config_dot_py=b"import os; os._exit(1)", feedback_in_a_dot_html=b"<script>alert(1)</script>")),
    files("large_extra_file", "extra files", EARNS_ALL, r"video\.mp4", beside(video_dot_mp4=os.urandom(2**20) * 20)),
    files("many_extra_files", "extra files", EARNS_ALL, r"\w{4}", beside(**{f"data_in_n{n}_dot_csv": b"1" for n in range(3000)})),
    files("pipes_and_loops_beside", "extra files", EARNS_ALL, r"\w{4}", pipes_beside),
    files("time_in_words", "timestamps", EARNS_ALL, TIMESTAMP, beside(**timestamp(b"yesterday evening"))),
    files("time_binary", "timestamps", EARNS_ALL, TIMESTAMP, beside(**timestamp(b"\xff\xfe\x00" * 100))),
    files("time_empty", "timestamps", EARNS_ALL, r"\w{4}", beside(**timestamp(b""))),
    files("time_long", "timestamps", EARNS_ALL, TIMESTAMP, beside(**timestamp(b"9" * 10**6))),
    files("time_of_year_99999", "timestamps", EARNS_ALL, TIMESTAMP, beside(**timestamp(b"99999-01-01 00:00:00 UTC"))),
    files("files_with_odd_names", "non-ASCII", EARNS_ALL, r"\w{4}", odd_names),
    files("non_ascii_student", "non-ASCII", EARNS_ALL, r"All of it holds", as_named("exercises.ipynb"), student="Zoë Łukasiewicz 李雷"),
    files("combining_student", "non-ASCII", EARNS_ALL, r"All of it holds", as_named("exercises.ipynb"), student="e\u0301mile o'neil; drop --"),
    files("no_permission", "permission", NOTHING, r"cannot be opened|[Pp]ermission", unreadable, needs="ordinary user"),
    files("pipe_in_its_place", "permission", NOTHING, r"cannot be read|cannot be graded|neither", pipe),
    files("folder_in_its_place", "permission", NOTHING, r"cannot be|no exercises.ipynb", folder_in_its_place),
    files("device_in_its_place", "permission", NOTHING, r"link", device),
)
