# What people do here. `make demo` and `make test` work from a clean clone and install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
# With a choice of tests, one of the two suites may have none of them: pytest ends with 5 then.
NONE = $(if $(ARGS),|| [ $$? -eq 5 ])

.PHONY: demo needs needs-kafka test test-fast test-kafka test-faults fuzz check bench bench-ingest bench-latency bench-serve \
  bench-storm bench-idle docs lock clean

demo: $(READY)  ## the main job before one's eyes, on the embedded broker; Ctrl-C ends it
	$(BIN)/guardian demo $(ARGS)

test: needs-kafka test-fast test-kafka  ## everything: the fast suite, then the one on real Kafka

needs:  ## is there on this machine what the fast suite cannot fetch by itself?
	@sh tests/needs.sh $(PYTHON)

needs-kafka:  ## and what the suite on real Kafka needs
	@sh tests/needs.sh $(PYTHON) kafka

test-fast: needs $(READY)  ## what needs no Java: core, spec, wire, embedded broker; three processes, most of them wait
	$(BIN)/python -m pytest -m "not kafka" -n 3 --dist loadfile $(ARGS) $(NONE)

test-kafka: needs-kafka $(READY)  ## the suite on real Apache Kafka, fetched by Maven; two processes with a Kafka each
	$(BIN)/python -m pytest -m kafka -n 2 --dist loadfile $(ARGS) $(NONE)

test-faults: $(READY)  ## every fault, three rounds each, on real Kafka: what was lost, doubled, and how long it took
	$(BIN)/python -m tests.faults $(ARGS)

fuzz: $(READY)  ## a million hostile inputs on every topic that is read: no crash, no stuck partition (half an hour)
	$(BIN)/python -m tests.fuzz $(ARGS)

check: $(READY)  ## style, types, and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: bench-ingest bench-latency bench-serve bench-storm bench-idle  ## every figure this project states

bench-ingest: $(READY)  ## events/s and core, beside fetching alone and a natural Faust agent
	$(BIN)/python -m bench.ingest $(ARGS)

bench-latency: $(READY)  ## from the deciding bad event to the SDK's changed answer
	$(BIN)/python -m bench.latency $(ARGS)

bench-serve: $(READY)  ## how long `kill` over HTTP takes while serve is flooded
	$(BIN)/python -m bench.serve $(ARGS)

bench-storm: $(READY)  ## all streams cut at once: how long until they are back, and what `kill` takes meanwhile
	$(BIN)/python -m bench.storm $(ARGS)

bench-idle: $(READY)  ## what guardian costs while nothing happens: dev, and each role alone on real Kafka
	$(BIN)/python -m bench.idle $(ARGS)

docs: $(READY)  ## the pages made from the code, then the site, strictly
	$(BIN)/python -m guardian.kafka.asyncapi schemas
	$(BIN)/python -m docs.made
	$(BIN)/mkdocs build --strict --quiet --site-dir .cache/site

PIN := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --no-header

lock: $(READY)  ## the locks anew, with hashes: everything, the image, and what builds the image
	$(PIN) --extra dev --no-emit-package rollout-guardian -o requirements.lock pyproject.toml
	$(PIN) --extra server -c requirements.lock --no-emit-package rollout-guardian -o deploy/image.lock pyproject.toml
	$(PIN) -o deploy/build.lock deploy/build.in

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(READY)

clean:  ## forget the environment and what was fetched
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
