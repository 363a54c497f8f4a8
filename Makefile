# The two commands are `make image` and `make test`. Both set up what is missing first, and can be run again at once.

.PHONY: help setup image test check bench clean install-helper

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## install what the host lacks, and .venv with all commands
	@scripts/setup

image: setup ## build demo.qcow2 from the flavours debian and vm
	@echo 'image: .venv/bin/disk-image-create -o demo.qcow2 debian vm'
	@.venv/bin/disk-image-create -o demo.qcow2 debian vm

test: setup ## run all gates: checks, tests, whole builds, boots
	@echo 'test: scripts/check'
	@.venv/bin/python scripts/check

check: setup ## run the gates that take seconds
	@echo 'check: scripts/check --fast'
	@.venv/bin/python scripts/check --fast

install-helper: ## install the helper and the sudo rule for hosts without unprivileged user namespaces (docs/sudo.md)
	@sudoers.d/install

bench: setup ## measure the target table beside diskimage-builder and the classic pipeline (root; an hour, quiet machine)
	@.venv/bin/python benchmarks/run.py

clean: ## remove what make made in this checkout: .venv, caches, demo.qcow2 with what lies beside it
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build
	rm -f demo.qcow2 demo.manifest.json demo.sha256 demo.qcow2.*
