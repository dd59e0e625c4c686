# The commands of this repository. All of them build with one cargo profile, --release, and the whole workspace: another profile, or
# another choice of packages, could build llama.cpp a second time, and that takes minutes.

CARGO ?= cargo
# Compute backends: make release FEATURES=cuda (or metal, vulkan, rocm)
FEATURES ?=
VERSION ?=

export CARGO
program := $(or $(CARGO_TARGET_DIR),target)/release/paguro

.DEFAULT_GOAL := help
.PHONY: help demo test release lint vendor llama prerequisites

help:
	@echo "make demo                     build, and take the guided tour"
	@echo "make test                     build, and run all tests"
	@echo "make release [FEATURES=cuda]  build $(program)"
	@echo "make lint                     format and clippy"
	@echo "make vendor                   fill vendor/ for builds without a network"
	@echo "make llama VERSION=0.1.161    move llama.cpp to another version"

prerequisites:
	@.ci/prerequisites

demo: release
	@$(program) demo

test: prerequisites
	@.ci/test

release: prerequisites
	$(CARGO) build --release --workspace $(if $(FEATURES),--features $(FEATURES))

lint: prerequisites
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings

vendor:
	@.ci/vendor

llama: prerequisites
	@.ci/llama "$(VERSION)"
