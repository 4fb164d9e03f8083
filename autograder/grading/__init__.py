"""Grading a class: intake, sandbox, engine, gradebook."""

import sys

# Reading a notebook imports jsonschema, which builds a grammar of international addresses where this package is installed:
# most of a second for each process, for a format that no notebook has. jsonschema does without it.
sys.modules.setdefault("rfc3987_syntax", None)
