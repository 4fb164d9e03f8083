"""What runs beside the student's code in unit 02, where the general probe of a function does not serve."""

from __future__ import annotations
