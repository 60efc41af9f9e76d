# Two commands do everything on a fresh machine: `make reply TEXT="..." EMOTION="..."`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TEXT ?= My best friend forgot my birthday.
EMOTION ?= sadness:80
# Tests that read real corpora find them here; without the folder they skip and say so.
export EMOTONE_DATA ?= $(wildcard ../shared/data)

.PHONY: reply chat test install dev lint docs wheel bench clean

reply: $(VENV)/.installed
	@$(BIN)/emotone reply "$(TEXT)" --emotion "$(EMOTION)"

chat: $(VENV)/.installed
	@$(BIN)/emotone chat --emotion "$(EMOTION)"

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

test: $(VENV)/.dev
	$(BIN)/python -m pytest

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
