"""The command `elbolab`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    parser = argparse.ArgumentParser(prog="elbolab", description="ELBO Lab: a course on variational inference, and its checks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="run checks on plain Python files")
    check.add_argument("checks", metavar="CHECK[,CHECK...]", help="for example vae.elbo,vae.beta_elbo; `list` shows all")
    check.add_argument("files", metavar="FILE.py", nargs="*")
    check.add_argument("--json", action="store_true", help="one JSON object a line")
    check.add_argument("--seed", type=int, help="seed of the random inputs (default: fresh ones)")
    check.set_defaults(run=run_check)

    notebooks = commands.add_parser("notebooks", help="write lecture, solved and student notebooks from the masters")
    notebooks.add_argument("--check", action="store_true", help="write nothing; fail if a notebook differs from its master")
    notebooks.set_defaults(run=run_notebooks)

    demo = commands.add_parser("demo", help="grade a small made-up class, with feedback and a table")
    demo.set_defaults(run=run_demo)

    lab = commands.add_parser("lab", help="open JupyterLab on your copy of the student notebooks; takes jupyter lab's options, too")
    lab.set_defaults(run=run_lab)

    args, args.jupyter = parser.parse_known_args(argv)
    if args.jupyter and args.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(args.jupyter)}")
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1


def run_check(args: argparse.Namespace) -> int:
    from autograder.catalogue import all_checks, find_check
    from autograder.files import check_files
    from autograder.probing import Trouble

    if args.checks == "list":
        for check in all_checks().values():
            print(f"{check.name:24s} {check.max_points} points   {check.target}: {check.title}")
        return 0
    try:
        checks = [find_check(name) for name in args.checks.split(",") if name]
    except Trouble as trouble:
        print(f"elbolab check: {trouble}", file=sys.stderr)
        return 2
    if not args.files or not checks:
        print("elbolab check: name a check and at least one Python file.", file=sys.stderr)
        return 2
    all_passed = True
    for file, verdict in check_files(checks, args.files, args.seed):
        all_passed &= verdict.passed
        record = {"file": file} | verdict.record()
        if args.json:
            print(json.dumps(record), flush=True)
        else:
            name = f" [{record['misconception']}]" if record["misconception"] else ""
            mark = "ok  " if verdict.passed else "FAIL"
            print(f"{mark} {file} {verdict.check} {verdict.points:g}/{verdict.max_points}{name} {verdict.message}", flush=True)
    return 0 if all_passed else 1


def course_root() -> Path:
    """The folder with the course: here or above.

    Raises:
        SystemExit: there is none; the message says what to do.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "nbgrader_config.py").is_file() and (folder / "course").is_dir():
            return folder
    what = "a folder with nbgrader_config.py and course/"
    raise SystemExit(f"elbolab: no course in {here} or above it ({what}). Change into your copy of it.")


def run_notebooks(args: argparse.Namespace) -> int:
    from autograder import masters

    root = course_root()
    try:
        problems = masters.lint(root)
        if args.check:
            problems += masters.check_built(root)
            print("\n".join(problems) or "All notebooks are what their masters say.")
        elif problems:
            print("\n".join(problems))
        else:
            for path in masters.build(root):
                print(f"wrote {path.relative_to(root)}")
    except masters.MasterError as error:
        problems = [str(error)]
        print(error)
    return 1 if problems else 0


def run_demo(args: argparse.Namespace) -> int:
    from autograder.demo import run

    return run(course_root())


def run_lab(args: argparse.Namespace) -> int:
    from autograder.lab import open_lab

    return open_lab(course_root(), args.jupyter)


if __name__ == "__main__":
    sys.exit(main())
