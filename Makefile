# The commands of the project. What they do is in tools/build/setup.sh (set-up), tests/run.py (checks and tests),
# tools/build/image.py (boards) and host/tessera_host (everything else).

STATE := $(shell tools/build/setup.sh --where)
VENV := $(STATE)/venv
PYTHON := $(VENV)/bin/python

# Many of the targets start thousands of interpreters: none compiles what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

export TESSERA_MICROPYTHON := $(STATE)/bin/micropython
export TESSERA_MICROPYTHON_FROZEN := $(STATE)/bin/micropython-tessera
export TESSERA_MPY_CROSS := $(STATE)/bin/mpy-cross
export TESSERA_PROXIES := $(abspath $(STATE)/../proxies)
export TESSERA_EMULATOR := $(STATE)/emulator/source/emulator.mjs

INPUT ?= tests/demo.txt
PORT ?= 8100
STORAGE ?= $(STATE)/serve
BOARD ?= RPI_PICO
IMAGE ?= build/$(BOARD)/firmware.uf2
IMAGE_RADIO := build/RPI_PICO_W/firmware.uf2
FLASH ?= build/$(BOARD)/flash.bin
MINUTES ?= 10
DAYS ?= 30
BURNINGS ?= 50
FLEET_MINUTES ?= 20
YEARS_DAYS ?= 1095
# --least: only what shows that a target's programs run (tests/system/test_make_targets.py). FILES: of test-board. ONLY: of mutants.
LEAST ?=
FILES ?=
ONLY ?=

# Nothing here prints after a command: the last line of `make demo` is the demo's own. (`make -C DIR` itself announces
# the folder at the end, unless told --no-print-directory.)
.DEFAULT_GOAL := help
.PHONY: help setup setup-image setup-emulator run demo serve test lint types test-cpython test-micropython test-board test-host test-system test-emulated test-long test-radio test-powercut test-attacks test-cluster test-fleet fuzz soak soak-years mutants results bench bench-bundle bench-device bench-fields bench-fleet bench-growth c-stack image image-radio check-boards emulate vectors deb clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing; everything it makes lies in a cache outside the tree
	@tools/build/setup.sh

run: setup ## start a relay on MicroPython, PORT=8100
	@"$(PYTHON)" -m tessera_host.cli.demo run --port "$(PORT)"

demo: setup ## two members exchange the lines of INPUT=file through a relay on MicroPython
	@"$(PYTHON)" -m tessera_host.cli.demo demo --input "$(INPUT)"

serve: setup ## start a relay on CPython, PORT=8100 STORAGE=folder
	@"$(VENV)/bin/tessera" serve --port "$(PORT)" --storage "$(STORAGE)" --members 24

setup-emulator:
	@tools/build/setup.sh emulator

emulate: image setup-emulator ## run an image on an emulated Pico: BOARD=RPI_PICO or IMAGE=file, FLASH=file, PORT=8100, RELAY=folder
	@exec "$(PYTHON)" -m tools.emulator "$(IMAGE)" --flash "$(FLASH)" --port "$(PORT)" $(if $(RELAY),--relay "$(RELAY)") $(EMULATE)

test: image $(if $(MICROPY_DIR),image-radio) setup-emulator ## every check and every test on three runtimes
	@"$(PYTHON)" -m tests.run

lint: setup ## ruff: rules and formatting; codespell; forms of sentences
	@"$(PYTHON)" -m tests.run lint format spelling words

types: setup ## mypy, strict: host package, emulator; stubs of the core
	@"$(PYTHON)" -m tests.run types

test-cpython: setup ## core tests on CPython
	@"$(PYTHON)" -m tests.run cpython

test-micropython: setup ## core tests on MicroPython, in a heap like a board's too, and every core file through mpy-cross
	@"$(PYTHON)" -m tests.run mpy-cross micropython small-heap

test-host: setup ## host tests
	@"$(PYTHON)" -m tests.run host

test-board: image setup-emulator ## core tests on the image in the emulated Pico, those that take minutes too
	@"$(PYTHON)" -m tests.run_on_board "$(IMAGE)" $(FILES)

test-system: image setup-emulator ## whole relays, killed and attached; the commands as they are typed; the emulated Pico
	@"$(PYTHON)" -m tests.run system

test-emulated: image setup-emulator ## the image itself, and the emulator
	@"$(PYTHON)" -m tests.run emulated

test-long: image setup-emulator ## tests that take minutes each: cables pulled at every stage, updates that fail (a quarter of an hour)
	@"$(PYTHON)" -m pytest -q -n 2 -m long $(if $(LEAST),--collect-only)

test-radio: image-radio setup-emulator ## the image of a Pico W in the emulator, with MICROPY_DIR=: core tests, members, faults of its radio (ten minutes)
	@"$(PYTHON)" -m pytest -q -n 2 tests/radio $(if $(LEAST),--collect-only) && "$(PYTHON)" -m tests.run_on_board --quick "$(IMAGE_RADIO)" $(FILES)

test-powercut: image setup-emulator ## the power cut in every flash operation, and in every operation of the recovery (an hour)
	@"$(PYTHON)" -m tests.powercut.powercut $(LEAST) && "$(PYTHON)" -m tests.powercut.boardcuts $(LEAST) && \
		"$(PYTHON)" -m tests.powercut.updatecuts $(LEAST)

fuzz: setup ## hostile input to every format, coverage-guided: MINUTES=10, or EXECUTIONS=20000 of every target
	@"$(PYTHON)" -m tests.fuzz.fuzz $(if $(EXECUTIONS),--executions "$(EXECUTIONS)",--minutes "$(MINUTES)") $(LEAST)

test-attacks: image setup-emulator ## every attack of the suite, with its advantage and bound
	@"$(PYTHON)" -m tests.attacks.attacks $(LEAST) && "$(PYTHON)" -m tests.attacks.board_timing $(LEAST)

test-cluster: setup ## five relays, of which one or two burn 50 times, in eight settings (hours; goes on where it was stopped): BURNINGS=50; what arrives when some are lost
	@"$(PYTHON)" -m tests.cluster.play --burnings "$(BURNINGS)" $(LEAST) && "$(PYTHON)" -m tests.cluster.shares $(LEAST)

test-fleet: setup ## three gateways on three nodes of NATS, of which one is killed every 15 s and others lose each other: FLEET_MINUTES=20
	@"$(PYTHON)" -m tests.fleet.play --minutes "$(FLEET_MINUTES)" $(LEAST)

soak: setup ## thirty days of an office of 50 in fast motion, with power cuts, then days without: DAYS=30
	@"$(PYTHON)" -m tests.soak.soak --days "$(DAYS)" $(LEAST)

soak-years: setup ## three years of an office of 24, then 40, in virtual time, by the programs' own rules (half an hour): YEARS_DAYS=1095
	@"$(PYTHON)" -m tests.soak.years.play --days "$(YEARS_DAYS)" $(LEAST)

mutants: setup ## changes of the code that tests have to notice, each against its own tests (a quarter of an hour): ONLY=name
	@"$(PYTHON)" -m tests.mutants $(if $(ONLY),--only $(ONLY)) $(LEAST)

.PHONY: docs
docs: export NO_MKDOCS_2_WARNING := 1
docs: setup ## the documents as a site in build/site, generated pages and pictures written anew
	@"$(PYTHON)" -m tools.docs && "$(PYTHON)" -m mkdocs build --strict

results: setup ## tests/RESULTS.md from the last whole runs of the suites above
	@"$(PYTHON)" -m tests.results $(if $(LEAST),--dry-run)

bench-device: image setup-emulator ## cycles of everything the relay does on the emulated Pico; heap and stack: BEFORE=folder of an image
	@"$(PYTHON)" -m tools.build.image "$(BOARD)" --library-field
	@"$(PYTHON)" -m tools.bench.device $(if $(BEFORE),--before "$(BEFORE)")

bench-bundle: image setup-emulator ## heap and start of code that runs as a bundle, beside the same frozen
	@"$(PYTHON)" -m tools.bench.bundle_cost

setup-fields:
	@tools/build/setup.sh fields

bench-fields: setup-fields ## instructions of the curve with either field, on the processors of boards that QEMU emulates
	@"$(PYTHON)" -m tools.bench.field_counts

bench: setup ## rates and peak heap on both runtimes; what a request costs the issuer of a large office; an agent's day; a busy server
	@"$(PYTHON)" -m tools.bench.runtimes

bench-growth: setup ## what a member costs from 10^2 to 10^7, by a model that a run of 10^4 members has to prove; tokens for 10^5 in an hour; writes docs/growth.md (half an hour)
	@"$(PYTHON)" -m tools.bench.growth all

bench-fleet: setup ## gateways on one log, beside one alone and a bare client of the engine: posts, answers, fetches (seven minutes)
	@"$(PYTHON)" -m tools.bench.fleet

c-stack: setup ## the C stack that each function of the C modules takes at most
	@"$(PYTHON)" -m tools.build.c_stack "$(STATE)/callgraph"

# Hidden from `make help`: what `make setup` does, and what images need.
setup-image:
	@tools/build/setup.sh image

image: setup-image ## build/BOARD/firmware.uf2 and image.json for BOARD=name (MICROPY_DIR=, IDF_PATH= for what no package has)
	@"$(PYTHON)" -m tools.build.image "$(BOARD)"

# Hidden: for tests that need the radio besides BOARD.
image-radio: setup-image
	@"$(PYTHON)" -m tools.build.image RPI_PICO_W

check-boards: setup ## partitions, manifests and frozen modules of every board
	@"$(PYTHON)" -m tools.build.check_boards

vectors: setup ## write tests/vectors anew
	@"$(PYTHON)" -m tools.spec.vectors $(if $(LEAST),--check)

deb: setup ## a Debian package of all commands and services, for servers; into build/
	@"$(PYTHON)" -m tools.server.debian --out build

clean: ## remove this tree's part of the cache
	@rm -rf "$(STATE)"
