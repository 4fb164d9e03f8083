# Every target installs what it needs into .venv, once, and can be run again at any time.
#   make run        generate the assignments, grade a demo class, print the table
#   make test       the whole test suite (DEEP=1: with as many repetitions as there is patience for; WORKERS=0: one test after another)
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
WORKERS ?= logical

.PHONY: run test lab notebooks book bench ledger lock clean
.DEFAULT_GOAL := run

run: $(READY)
	@$(BIN)/elbolab demo

test: $(READY)
	@DEEP=$(DEEP) $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 $(PYTEST)

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

# A Python from 3.10 to 3.13: the one in PYTHON if given, else the first that fits.
$(READY): requirements.lock pyproject.toml
	@fits='import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))'; \
	found=; \
	for p in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.10 python; do \
	  if command -v $$p >/dev/null 2>&1 && $$p -c "$$fits" 2>/dev/null; then found=$$p; break; fi; \
	  if [ "$$p" = "$(PYTHON)" ]; then echo "make: PYTHON=$$p is no Python 3.10 to 3.13."; exit 1; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "make: no Python 3.10 to 3.13 found. Install one, or name it: make PYTHON=/path/to/python3.12"; exit 1; fi; \
	if [ -x $(BIN)/python ] && ! $(BIN)/python -c "$$fits" 2>/dev/null; then rm -rf .venv; fi; \
	if [ ! -x $(BIN)/python ]; then \
	  echo "Making the environment .venv with $$($$found --version) ..."; \
	  $$found -m venv .venv || { rm -rf .venv; \
	    echo "make: $$found cannot make an environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }; fi; \
	echo "Installing what requirements.lock lists (some minutes the first time) ..."; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e . \
	  || { echo "make: installing failed, see above. It needs a package index: is there a network? Then run make again; it goes on from here."; exit 1; }
	@touch $(READY)

# torch's CUDA packages stay out: torch's own metadata pins them for GPU builds, and a CPU build brings none.
lock:
	@command -v uv >/dev/null || { echo "make: lock needs uv (pip install uv)."; exit 1; }
	@pins=$$(mktemp); printf 'torch==2.13.0\ntorchvision==0.28.0\n' > $$pins; \
	resolved=$$(uv pip compile --quiet --universal --python-version 3.10 --extra test --no-header --no-annotate -c $$pins pyproject.toml) || exit 1; \
	{ echo '# The exact versions that `make` installs; written by `make lock`. One file for Python 3.10 to 3.13.'; \
	  echo "# The CUDA packages of a Linux GPU build are pinned by torch's own metadata, so that a CPU build brings none of them."; \
	  cat $$pins; echo "$$resolved" | grep -vE '^(torch|torchvision|triton|nvidia-|cuda-)'; } > requirements.lock; rm -f $$pins

clean:
	rm -rf demo book build dist lib/*.egg-info .pytest_cache .ruff_cache .hypothesis
