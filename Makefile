# serve, play, test … each do all the set-up they need: a Python from 3.11 on and a package index are enough.
PYTHON ?= python3
DATA ?= data
ARGS ?=
NAME ?=
MINUTES ?= 8
PACKED ?= runs/gpu/pieces.npz
# An NVIDIA card is used where one is asked for (ARGS='--device cuda'), and its libraries are large: GPU=no leaves them out.
GPU ?= $(if $(shell test -e /dev/nvidia0 || nvidia-smi -L 2>/dev/null | grep ^GPU),yes,no)

# Files of tests go side by side, for most of them wait while music plays; one after another: make test ARGS='-n 0'. In
# the order of their names: so the browser's, which are few and long, come first and none of them is left over at the end.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder

# Of the code that Python runs in the tests' own process, percent. What engine processes run is not counted.
LEAST_COVERAGE := 85

BIN := .venv/bin
RUN_READY := .venv/.ready-run
GPU_READY := .venv/.ready-gpu
DEV_READY := .venv/.ready-dev
TRAIN_READY := .venv/.ready-train
# Python compiles the few modules that are used when it first imports them; pip would compile them all. setuptools warns
# that an editable installation is one.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: serve play test coverage check fix bench audition train eval gpu gpu-data wheel browser

serve: $(if $(filter yes,$(GPU)),$(GPU_READY),$(RUN_READY))  ## the server and its studio page
	$(BIN)/undersong serve $(ARGS)

play: $(if $(filter yes,$(GPU)),$(GPU_READY),$(RUN_READY))  ## this machine's loudspeaker: make play ARGS='"rainy night" --energy 0.3'
	$(BIN)/undersong play $(ARGS)

test: $(DEV_READY) browser  ## a real browser included; make test ARGS='-m "not slow"' in two minutes, ARGS='-m long' what this leaves out
	$(BIN)/undersong warm
	PYTHONASYNCIODEBUG=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

coverage: $(DEV_READY) browser  ## the same, and which lines they run: it takes a quarter longer, and fails below the floor
	$(BIN)/undersong warm
	$(BIN)/python -m pytest --cov --cov-report=term --cov-fail-under=$(LEAST_COVERAGE) $(ARGS)

check: $(DEV_READY)  ## look, change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q tests/test_house.py
	$(BIN)/python -m tests.audit

fix: $(DEV_READY)  ## repair what can be repaired by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_READY)  ## all benchmarks, or one: make bench NAME=reaction
	$(BIN)/python -m benchmarks $(NAME) $(ARGS)

audition: $(DEV_READY)  ## every patch, kit and style as wav, spectrogram and figures: make audition ARGS='flute jazz'
	$(BIN)/python -m engine.synth audition $(ARGS)

train: $(TRAIN_READY)  ## the shipped checkpoint again, from the data in DATA
	$(BIN)/python -m engine.training.trainer --data $(DATA) --out runs/score --export engine/checkpoints $(ARGS)

gpu:  ## a visit to an NVIDIA card: its tests, how many stations it carries, the larger composer trained for MINUTES
	@$(PYTHON) -m benchmarks.gpu_visit --dataset $(PACKED) --minutes $(MINUTES) $(ARGS)

gpu-data: $(TRAIN_READY)  ## what make gpu learns from, as one file to take along: make gpu-data DATA=…
	$(BIN)/python -m engine.training.trainer --data $(DATA) --pieces 10000 --pack $(PACKED) $(ARGS)

eval: $(TRAIN_READY)  ## figures and pictures of what the model composes, real music beside it where DATA is: make eval ARGS='--seeds 1 --only takes'
	$(BIN)/python -m engine.training.evaluation $(if $(wildcard $(DATA)),--data $(DATA)) $(ARGS)

wheel: $(DEV_READY)  ## dist/undersong-*.whl
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

browser: $(DEV_READY)
	@$(BIN)/python -m tests.browser.install

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "undersong needs Python 3.11 or newer; name one: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	-@$(PIP) 'pip>=25'  # an older one takes twice as long to choose among releases

$(RUN_READY): pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv, once: about 700 MB"
	$(PIP) -e .
	@touch $@

$(GPU_READY): pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv, once: about 6 GB, for this machine has an NVIDIA card; without its libraries: make serve GPU=no"
	$(PIP) -e '.[gpu]'
	@touch $@ $(RUN_READY)

$(DEV_READY): pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[dev]'
	@touch $@ $(TRAIN_READY) $(RUN_READY)

$(TRAIN_READY): pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[train]'
	@touch $@ $(RUN_READY)
