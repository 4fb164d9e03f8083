"""Grading a class: intake, sandbox, engine, gradebook."""
