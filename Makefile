# Two commands do everything on a fresh machine: `make reply TEXT="..." EMOTION="..."`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TEXT ?= My best friend forgot my birthday.
EMOTION ?= sadness:80
# One process of tests a core; they need no more than one thread each.
WORKERS ?= -n auto --maxprocesses 8 --dist loadfile
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
SEED := $(SEED)
# Tests that read real corpora find them here; without the folder they skip and say so.
export EMOTONE_DATA ?= $(wildcard ../shared/data)

.PHONY: reply chat play test test-all test-often install dev lint docs wheel bench clean

reply: $(VENV)/.installed
	@$(BIN)/emotone reply "$(TEXT)" --emotion "$(EMOTION)"

chat: $(VENV)/.installed
	@$(BIN)/emotone chat --emotion "$(EMOTION)"

# A page with sliders in the browser, and OpenAI's API beside it.
play: $(VENV)/.installed
	@$(BIN)/python -c "import fastapi" 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[serve]' >&2
	@$(BIN)/emotone serve --open

install: $(VENV)/.installed
dev: $(VENV)/.dev

$(VENV)/.installed: pyproject.toml zoo/pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing emotone into $(VENV) (torch is large; once)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . -e zoo >&2
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' -e zoo >&2
	@touch $@

# The same examples each time; what takes long is left out, and said at the end.
test: $(VENV)/.dev
	$(BIN)/python -m pytest $(WORKERS)

# Everything, and property tests search anew: `make test-all SEED=...` repeats a search.
test-all: $(VENV)/.dev
	@echo "property tests search from seed $(SEED); repeat them by: make test-all SEED=$(SEED)"
	$(BIN)/python -m pytest $(WORKERS) -m "" -rs --hypothesis-profile=search --hypothesis-seed=$(SEED)

# Twenty times with another order of sets and dictionaries; stops at the first that fails.
test-often: $(VENV)/.dev
	@for seed in $$(seq 1 20); do \
	  PYTHONHASHSEED=$$seed $(BIN)/python -m pytest -q $(WORKERS) || exit 1; done

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src tests bench recipes docs zoo README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/zensical build --strict

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel --outdir dist .
	$(BIN)/python -m build --wheel --outdir dist zoo

bench: $(VENV)/.dev
	$(BIN)/python -m bench.steering

clean:
	rm -rf $(VENV) dist site
