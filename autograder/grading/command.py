"""`elbolab grade` as it is typed: grades, or says what grading would change."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from autograder.grading import pipeline

__all__ = ["run"]


def run(args: argparse.Namespace, root: Path) -> int:
    """The command; returns its exit code."""
    from autograder.grading.table import Progress, print_summary

    students = [s.strip() for s in args.students.split(",") if s.strip()] if args.students else None
    options = {"students": students, "jobs": args.jobs, "cluster": args.cluster, "sandbox": "none" if args.no_sandbox else "bubblewrap"}
    progress, codes = Progress(sys.stdout), []
    try:
        if args.dry_run:
            from autograder.grading.dryrun import compare_class

            return compare_class(root, args.assignment, progress=progress, **options)
        for summary in pipeline.grade_each(root, args.assignment, force=args.force, progress=progress, **options):
            print_summary(root, summary)
            codes.append(summary.exit_code)
    except pipeline.Stopped as stopped:
        progress.close()
        print(f"elbolab grade: {stopped}", file=sys.stderr)
        codes.append(1 if codes else 2)
    return max(codes)
