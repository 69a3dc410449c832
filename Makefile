# Every target needs only Python ≥ 3.11 and make; the rest is installed into .venv at the first call.

PY := .venv/bin/python
BIN := .venv/bin
WITH_STACK := $(PY) -m infra.stack exec

# Where images say that nothing compiled is kept, every process would take twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test demo bench prove verify lint schema console

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: .venv/.ready ## start everything: PostgreSQL, Valkey, gateways, API, worker; Ctrl-C stops it
	@exec $(PY) -m infra.stack run

test: .venv/.ready ## the whole test suite, against real servers
	@exec $(PY) -m pytest -n 3 --dist loadfile $(ARGS)

demo: .venv/.ready ## play the main job against the running (or a fresh) stack, step by step
	@exec $(PY) -m tests.demo

bench: .venv/.ready ## performance ratios [ONLY=…] [BASE=<commit>]
	@ONLY="$(ONLY)" BASE="$(BASE)" exec $(PY) -m benchmarks

prove: .venv/.ready ## reliability [SUITE=money|identity] [DURATION_SECONDS=60] [SEED=n]
	@SUITE="$(SUITE)" DURATION_SECONDS="$(DURATION_SECONDS)" SEED="$(SEED)" exec $(PY) -m tests.prove

verify: .venv/.ready ## check every derived figure of the database
	@exec $(WITH_STACK) $(PY) -m services.ledger.verification

lint: .venv/.ready ## style, types and the import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports

schema: .venv/.ready ## write schema/schema.graphql and docs/roles.md
	@exec $(PY) -m schema

console: ## build the staff console from its sources (needs Node.js 20)
	@cd console && npm ci && npm run build

.venv/.ready: uv.lock pyproject.toml
	@PYTHON="$(PYTHON)" .ci/venv
