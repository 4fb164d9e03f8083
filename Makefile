# Every target installs what it needs into .venv, once, and can be run again at any time.
#   make run        generate the assignments, grade a demo class, print the table
#   make test       the whole test suite
#   make lab        JupyterLab on your own copy of the exercises
#   make notebooks  write lecture, solved and student notebooks from the masters in course/
#   make book       the lectures, run and rendered to HTML in book/
#   make bench      the measurements in benchmarks/
#   make ledger     reported numbers beside ours, looked at again (FULL=1: with all samples on all test images)
#   make lock       write requirements.lock anew (needs uv)

SHELL := /bin/sh
BIN := .venv/bin
READY := .venv/.ready
PYTEST ?= tests

.PHONY: run test lab notebooks book bench ledger lock clean
.DEFAULT_GOAL := run

run: $(READY)
	@$(BIN)/elbolab demo

test: $(READY)
	@$(BIN)/python -m pytest $(PYTEST)

lab: $(READY)
	@$(BIN)/elbolab lab $(LAB)

notebooks: $(READY)
	@$(BIN)/elbolab notebooks

book: $(READY)
	@$(BIN)/jupyter nbconvert --to html --execute --output-dir book course/*/lecture.ipynb

bench: $(READY)
	@for b in training explorers grading unit01 iwae gradients; do $(BIN)/python benchmarks/$$b.py || exit 1; done

ledger: $(READY)
	@FULL=$(FULL) $(BIN)/python benchmarks/ledger.py
