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

    grade = commands.add_parser("grade", help="grade a class: submitted/ -> gradebook and autograded/")
    grade.add_argument("assignment", metavar="ASSIGNMENT", nargs="?", help="for example 01_vae; default: all that have submissions")
    grade.add_argument("--students", metavar="A,B", help="these only")
    grade.add_argument("--jobs", metavar="N", type=int, help="submissions at a time (default: one for each core)")
    grade.add_argument("--cluster", metavar="ADDRESS", help="a Dask scheduler's address, for example tcp://host:8786")
    grade.add_argument("--dry-run", action="store_true", help="record nothing; say for each student what would change, and why")
    grade.add_argument("--resume", action="store_true", help="finish what an earlier run began (as every run does)")
    grade.add_argument("--force", action="store_true", help="grade anew what is graded already, with the same random inputs")
    grade.add_argument("--no-sandbox", action="store_true", help="run submissions with your own rights; the report says so")
    grade.set_defaults(run=run_grade)

    report = commands.add_parser("report", help="feedback pages for the students, and a page on the class")
    report.add_argument("assignment", metavar="ASSIGNMENT", nargs="?", help="default: all that are graded")
    report.add_argument("--students", metavar="A,B", help="these students' pages only")
    report.add_argument("--anonymous", action="store_true", help="a class page without names, to show in class")
    report.set_defaults(run=run_report)

    doctor = commands.add_parser("doctor", help="what this machine has for grading, and what is missing")
    doctor.set_defaults(run=run_doctor)

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
    from autograder.own import units
    from autograder.probing import Trouble

    if args.checks == "list":
        for check in all_checks().values():
            print(f"{check.name:24s} {check.max_points} points   {check.target}: {check.title}")
        for problem in filter(None, (unit.problem for unit in units())):
            print(f"elbolab check: {problem}", file=sys.stderr)
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
        said = verdict.record()
        record = {"file": file} | {name: said[name] for name in ("check", "passed", "points", "max_points", "misconception", "message")}
        record["mistakes"] = [mistake.name for mistake in verdict.mistakes]
        if args.json:
            print(json.dumps(record), flush=True)
        else:
            name = f" [{', '.join(record['mistakes'])}]" if record["mistakes"] else ""
            mark = "ok  " if verdict.passed else "FAIL"
            print(f"{mark} {file} {verdict.check} {verdict.points:g}/{verdict.max_points}{name} {verdict.message}", flush=True)
    return 0 if all_passed else 1


def course_root(masters: bool = True) -> Path:
    """The folder with the course, here or above; without `masters`, any folder with nbgrader's settings.

    Raises:
        SystemExit: there is none; the message says what to do.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "nbgrader_config.py").is_file() and (not masters or (folder / "course").is_dir()):
            return folder
    what = "a folder with nbgrader_config.py and course/" if masters else "a folder with nbgrader_config.py"
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


def run_grade(args: argparse.Namespace) -> int:
    from autograder.grading.command import run

    return run(args, course_root(masters=False))


def run_report(args: argparse.Namespace) -> int:
    from autograder.reports.report import run

    return run(args, course_root(masters=False))


def run_doctor(args: argparse.Namespace) -> int:
    from autograder.grading.doctor import run

    return run()


def run_demo(args: argparse.Namespace) -> int:
    from autograder.demo import run

    return run(course_root())


def run_lab(args: argparse.Namespace) -> int:
    from autograder.lab import open_lab

    return open_lab(course_root(), args.jupyter)


if __name__ == "__main__":
    sys.exit(main())
