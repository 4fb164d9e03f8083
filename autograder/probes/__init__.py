"""Probes: they call the student's code and bring plain values back. No reference answer stands here."""
