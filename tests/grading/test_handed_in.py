"""A submitted folder is read as it is: nothing leads out of it, blocks or fills the memory, and slips are forgiven."""

import os
import socket

import pytest

from autograder.grading import handed_in
from autograder.grading.handed_in import read_submission

NAME = "exercises"


def write(folder, **files):
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_ipynb", ".ipynb").replace("_txt", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def notes_of(read, name=NAME):
    return [(note.kind, note.honest) for note in read.notes[name]]


def test_the_notebook_the_files_beside_it_and_the_timestamp(tmp_path):
    read = read_submission(write(tmp_path, exercises_ipynb=b"{}", data_txt=b"1", sub__more_txt=b"2", timestamp_txt=b"2026-01-01 10:00:00 UTC"), [NAME])
    assert read.notebooks == {NAME: b"{}"}
    assert read.files == {"data.txt": b"1", "sub/more.txt": b"2"}
    assert read.timestamp == "2026-01-01 10:00:00 UTC" and read.notes == {NAME: ()}


@pytest.mark.parametrize("name", ["exercises (1).ipynb", "exercises-Copy1.ipynb", "anna_müller.ipynb", "Exercises.ipynb",
                                  "01_vae/exercises.ipynb", "解答.ipynb"])
def test_a_single_notebook_of_another_name_is_taken(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._other.ipynb").write_bytes(b"junk")
    read = read_submission(tmp_path, [NAME])
    assert read.notebooks == {NAME: b"{}"} and notes_of(read) == [("renamed", True)]
    assert name in read.notes[NAME][0].sentence


def test_of_several_notebooks_the_one_that_is_named_alike_is_taken(tmp_path):
    write(tmp_path, scratch_ipynb=b"no").joinpath("exercises (2).ipynb").write_bytes(b"yes")
    assert read_submission(tmp_path, [NAME]).notebooks == {NAME: b"yes"}


def test_where_it_is_not_clear_which_is_meant_none_is_and_the_note_lists_them(tmp_path):
    read = read_submission(write(tmp_path, a_ipynb=b"1", b_ipynb=b"2"), [NAME])
    assert read.notebooks == {NAME: None} and notes_of(read) == [("unreadable", True)]
    assert "a.ipynb, b.ipynb" in read.notes[NAME][0].sentence


def test_with_several_expected_notebooks_names_have_to_be_right(tmp_path):
    read = read_submission(write(tmp_path, first_ipynb=b"1", other_ipynb=b"2"), ["first", "second"])
    assert read.notebooks == {"first": b"1", "second": None}
    assert notes_of(read, "first") == [] and notes_of(read, "second") == [("unreadable", True)]


def test_nothing_handed_in(tmp_path):
    read = read_submission(tmp_path, [NAME])
    assert read.notebooks == {NAME: None} and "the folder is empty" in read.notes[NAME][0].sentence


def test_links_pipes_sockets_and_folders_are_not_opened(tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(b"secret")
    folder = tmp_path / "anna"
    folder.mkdir()
    (folder / "exercises.ipynb").symlink_to(secret)
    (folder / "data.txt").symlink_to(secret)
    (folder / "all").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        os.chdir(here)
        read = read_submission(folder, [NAME])
    assert read.notebooks == {NAME: None} and read.files == {}
    assert notes_of(read) == [("unreadable", False)] + [("extra", False)] * 4
    assert b"secret" not in repr(read).encode()


def test_a_linked_folder_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="link"):
        read_submission(tmp_path / "link", [NAME])


def test_large_files(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "NOTEBOOK_BYTES", 10)
    monkeypatch.setattr(handed_in, "EXTRA_BYTES", 10)
    read = read_submission(write(tmp_path, exercises_ipynb=b"x" * 11, a_txt=b"x" * 6, b_txt=b"x" * 6, c_txt=b"x" * 4), [NAME])
    assert read.notebooks == {NAME: None} and set(read.files) == {"a.txt", "c.txt"}
    assert notes_of(read) == [("unreadable", True), ("extra", True)]


def test_thousands_of_files_and_deep_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "ENTRIES", 20)
    deep = tmp_path / "z" / "/".join(["d"] * 30)
    deep.mkdir(parents=True)
    (deep / "data.txt").write_bytes(b"1")
    write(tmp_path, exercises_ipynb=b"{}")
    assert notes_of(read_submission(tmp_path, [NAME])) == [("extra", False)]
    for number in range(50):
        (tmp_path / f"f{number}").write_bytes(b"")
    read = read_submission(tmp_path, [NAME])
    assert read.notebooks == {NAME: b"{}"} and len(read.files) < 20


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_text(tmp_path):
    write(tmp_path, exercises_ipynb=b"{}")
    with open(os.fsencode(tmp_path) + b"/\xff\xfe", "wb") as file:
        file.write(b"1")
    read = read_submission(tmp_path, [NAME])
    assert read.files == {} and notes_of(read) == [("extra", False)]
    read.notes[NAME][0].sentence.encode()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_to_read(tmp_path):
    write(tmp_path, exercises_ipynb=b"{}")
    (tmp_path / "exercises.ipynb").chmod(0)
    read = read_submission(tmp_path, [NAME])
    assert read.notebooks == {NAME: None} and "Permission denied" in read.notes[NAME][0].sentence


@pytest.mark.parametrize("data", [b"", b"yesterday", b"\xff\xff", b"9" * 10_000, b"0000-00-00", b"2026-13-45 99:99", b"1e999"])
def test_a_timestamp_that_is_none_counts_as_none_and_is_noted(tmp_path, data):
    read = read_submission(write(tmp_path, exercises_ipynb=b"{}", timestamp_txt=data), [NAME])
    assert read.timestamp == "" and notes_of(read) == [("timestamp", True)]


def test_the_digest_changes_with_everything_that_is_read(tmp_path):
    folder = write(tmp_path, exercises_ipynb=b"{}", data_txt=b"1")
    seen = [read_submission(folder, [NAME]).digest]
    assert seen == [read_submission(folder, [NAME]).digest]
    for change in ({"exercises_ipynb": b"[]"}, {"data_txt": b"2"}, {"more_txt": b""}, {"timestamp_txt": b"2026-01-01 10:00"}, {"other_ipynb": b""}):
        seen.append(read_submission(write(folder, **change), [NAME]).digest)
    assert len(set(seen)) == 6


def test_ignored_names_are_not_there(tmp_path):
    write(tmp_path, exercises_ipynb=b"{}", x_txt=b"1").joinpath(".ipynb_checkpoints").mkdir()
    write(tmp_path / ".ipynb_checkpoints", exercises_ipynb=b"old")
    assert read_submission(tmp_path, [NAME], [".ipynb_checkpoints", "*.txt"]).files == {}
