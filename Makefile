# make demo      everything that is needed, then: generate, build, run in QEMU, verify
# make test      everything that is needed, then the checks and the test suite
# make check     formatting, lint and types
# make test-all  the test suite with its slow tests; of the full matrices every choice in turn
# make matrix    the full matrices: every model with every choice, host against QEMU; to docs/test-matrix.md
# make bench     instructions, RAM and code of every benchmark in QEMU, against the committed baseline
# make bench-baseline   the same, and the result becomes the baseline
# make npu-matrix  every model on every simulated NPU against the TOSA reference model; to docs/npu-matrix.md
# make npu-bench   what models on an Ethos-U take and lose; goes on where it was interrupted; to docs/npu-bench.md
# make fuzz      thousands of damaged inputs for every verb; goes on where it was interrupted; to docs/fuzz.md
# make guard     what the guard finds for every configuration of tests/models; to docs/verification.md
# make census    what becomes of each decoder that transformers knows; goes on where it was interrupted; to docs/support.md
# make encoders  what becomes of each encoder of tests/models/encoders; goes on where it was interrupted; to docs/models.md
# make real      checkpoints that other people made, from Python packages: what each can do; to docs/real-models.md
# make boards    the bundled model on every packaged board, run where something runs it; to docs/boards.md
# make setup     only what is needed: Debian packages, and a virtual environment in .venv
#
# A second run installs nothing. PYTHON names another interpreter, PIP_FLAGS goes to every `pip install`.

SHELL := /bin/bash
PYTHON ?= python3
PIP_FLAGS ?=
JOBS ?= 2
SEED ?= 1

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := build/demo
TORCH := $(shell sed -n 's/^ *"\(torch==[^"]*\)",/\1/p' pyproject.toml)

.PHONY: demo bench-tools test-tools test test-all matrix npu-matrix npu-bench fuzz bench bench-baseline guard census encoders boards real check types style setup system

demo: setup
	$(BIN)/mcu-sdk generate --board corstone-300 --out $(DEMO)
	$(BIN)/mcu-sdk build $(DEMO)
	$(BIN)/mcu-sdk run $(DEMO) --prompt "ROMEO:" --tokens 100
	$(BIN)/mcu-sdk verify $(DEMO)

# Freed tensors go back to the process and not to the system, which would clear their pages once more.
KEPT_MEMORY := MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=2000000000

# The checks come first, so that pytest's summary is the last line.
test: check test-tools
	$(KEPT_MEMORY) $(BIN)/pytest -n $(JOBS) -m "not slow"

test-all: check test-tools
	$(KEPT_MEMORY) $(BIN)/pytest -n $(JOBS) -m "not matrix"

matrix: setup
	$(BIN)/python tools/run_matrix.py
	$(BIN)/pytest -n $(JOBS) -m matrix \
	    $(addprefix tests/end_to_end/test_,decoders.py encoders.py fit.py npu_targets.py) tests/benchmarks/test_growth.py

bench: setup bench-tools
	$(BIN)/python -m benchmarks

bench-baseline: setup bench-tools
	$(BIN)/python -m benchmarks --baseline

npu-matrix: setup
	$(BIN)/python tools/run_npu_matrix.py

npu-bench: setup
	$(BIN)/python tools/run_npu_bench.py

# SEED=2 makes other damage.
fuzz: setup
	$(BIN)/python tools/fuzz.py --seed $(SEED) --jobs $(JOBS) --docs

guard: setup
	$(BIN)/python tools/guard_families.py

census: setup
	$(BIN)/python tools/census.py --jobs $(JOBS)

encoders: setup
	@mkdir -p build
	$(BIN)/python tools/encoder_families.py --found build/encoders.json --jobs $(JOBS)

boards: setup
	$(BIN)/python tools/run_boards.py

real: setup
	$(BIN)/python tools/run_real.py

# Two beside each other: types take one core, and nearly as long as all the rest.
check: setup
	@$(MAKE) --no-print-directory --output-sync=target -j$(JOBS) types style

types:
	$(BIN)/mypy

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_firmware.py

setup: system $(READY)

# torch comes first and by itself: where an index offers several builds, the pin decides before anything else asks.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) "$(TORCH)"
	$(BIN)/pip install $(PIP_FLAGS) -e ".[dev]"
	touch $@

# What stands in $missing.
define INSTALL
[ -z "$$missing" ] && exit 0; \
if [ "$$(id -u)" = 0 ]; then as_root=env; \
elif command -v sudo >/dev/null; then as_root="sudo env"; \
else \
echo "error: these Debian packages are missing, and there is neither root nor sudo to install them:$$missing"; \
echo "Ask an administrator for: apt-get install$$missing"; \
exit 4; \
fi >&2; \
echo "Installing$$missing"; \
$$as_root apt-get update -qq && \
$$as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing
endef

# Looks each time, which takes no time, and installs only what is missing.
system:
	@missing=""; \
	need() { missing="$$missing $$1"; }; \
	command -v arm-none-eabi-g++ >/dev/null || need gcc-arm-none-eabi; \
	[[ "$$(arm-none-eabi-gcc -print-file-name=nano.specs 2>/dev/null)" == */* ]] || need libnewlib-arm-none-eabi; \
	echo '#include <cstdint>' | arm-none-eabi-g++ -x c++ -E - >/dev/null 2>&1 || need libstdc++-arm-none-eabi-newlib; \
	command -v qemu-system-arm >/dev/null || need qemu-system-arm; \
	command -v g++ >/dev/null || need g++; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || need python3-venv; \
	$(INSTALL)

# What only benchmarks want: models of the cores' pipelines.
bench-tools: system
	@missing=""; \
	command -v llvm-mca-19 >/dev/null || missing=" llvm-19"; \
	$(INSTALL)

# Only the tests want a second compiler, and the tools that flash boards.
test-tools: system
	@missing=""; \
	need() { command -v $$1 >/dev/null || missing="$$missing $$2"; }; \
	need clang-19 clang-19; \
	need ccache ccache; \
	need gdb-multiarch gdb-multiarch; \
	need openocd openocd; \
	need teensy_loader_cli teensy-loader-cli; \
	$(INSTALL)
