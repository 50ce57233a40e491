# The same few targets on a laptop, on a cluster and in CI. Everything that they write lies under $BENCH_HOME (./out).
.DEFAULT_GOAL := help
.PHONY: help setup bench test test-full test-slurm check format lint types imports perf tables plots pins clean FORCE

WHERE := local#           debug (one process) | local (one worker a core or GPU) | slurm
SWEEP := leaderboard#     a file in sweeps/
DATASET := toy#           a file in bench/datasets/
ROOT :=#                  where the data set lies on disk
OPTIONS :=#               its options: OPTIONS="key=value key=value"
BACKBONES :=#             a,b: only these (METHODS=, SEEDS= the same way)
METHODS :=
SEEDS :=
SHOTS :=#                 few-shot sizes such as 1,4; the data set's own where not given
BANK :=#                  a knowledge bank (name or .json file) in place of the data set's own
LIMIT :=#                 at most so many videos a class and split side
PYTHON :=#                an existing environment's python instead of .venv; its torch stays as it is
TORCH :=#                 another torch build: TORCH="torch==2.11.0 torchvision==0.26.0" or wheel files
ARGS :=#                  anything else for the program behind a target: make test ARGS="-k clip -x"

PY := $(if $(PYTHON),$(PYTHON),.venv/bin/python)
STAMP := $(if $(PYTHON),.setup/$(shell printf '%s' '$(PYTHON)' | cksum | cut -d' ' -f1),.venv/.setup)
BASE = $(or $(shell command -v python3),$(PYTHON))
RUN = --where '$(strip $(WHERE))' --sweep '$(strip $(SWEEP))' --dataset '$(strip $(DATASET))' $(if $(ROOT),--root '$(ROOT)') \
      $(foreach o,$(OPTIONS),--option '$(o)') $(if $(BACKBONES),--backbones '$(BACKBONES)') $(if $(METHODS),--methods '$(METHODS)') \
      $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(SHOTS),--shots '$(SHOTS)') $(if $(BANK),--bank '$(BANK)') $(if $(LIMIT),--limit '$(strip $(LIMIT))')

SLURM := tests/slurm/local_cluster.sh install && tests/slurm/local_cluster.sh with 4

# A misspelt name is an error, not a setting that nobody reads.
KNOWN := WHERE SWEEP DATASET ROOT OPTIONS BACKBONES METHODS SEEDS SHOTS BANK LIMIT PYTHON TORCH ARGS UPGRADE BACKBONE METHOD SEED SHOT OPTION
UNKNOWN := $(filter-out $(KNOWN),$(foreach v,$(.VARIABLES),$(if $(filter command line,$(origin $(v))),$(v))))
$(if $(UNKNOWN),$(error there is no $(UNKNOWN)=; make help lists what there is))
$(foreach v,BACKBONE METHOD SEED SHOT OPTION,$(if $(filter command line,$(origin $(v))),$(error there is no $(v)=; did you mean $(v)S=)))

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile
	@echo; echo "after the target, e.g. make bench DATASET=folder ROOT=/data/mine SEEDS=1,2:"
	@awk -F ' *(:=|#) *' '/^[A-Z]+ :=.*#/ {printf "  %-19s %s\n", $$1 "=" $$2, $$3}' Makefile

setup: $(STAMP) ## make or complete the environment; nothing to do unless the pins changed (PYTHON=, TORCH=)
	@:
bench: $(STAMP) ## run a sweep (what is complete is not run again), print the leaderboard and where the report lies
	@'$(PY)' -m bench run $(RUN) $(ARGS)
test: $(STAMP) ## every test that this machine can run; those it cannot are skipped with the reason
	@'$(PY)' -m pytest -n logical --dist loadfile --no-loadscope-reorder $(ARGS)
test-full: $(STAMP) ## every test, the large backbones at real size (up to 16 GB of memory) and more kills too, and the whole chaos run on a local Slurm
	@'$(PY)' -m pytest -n logical --dist loadfile --no-loadscope-reorder -m 'not perf and not slurm and not slurm_full' $(ARGS)
	@$(SLURM) '$(PY)' -m pytest tests/slurm -m slurm_full $(ARGS)
test-slurm: $(STAMP) ## the tests on a real Slurm, which is started for them: Debian or Ubuntu, as root; gets the packages itself
	@$(SLURM) '$(PY)' -m pytest tests/slurm -m slurm $(ARGS)
check: lint types imports test ## everything that must pass before a commit: lint, types, imports, tests
lint: $(STAMP) ## ruff: rules and format, changes nothing
	@'$(PY)' -m ruff check . && '$(PY)' -m ruff format --check .
format: $(STAMP) ## ruff: put the code into shape
	@'$(PY)' -m ruff check --fix . ; '$(PY)' -m ruff format .
types: $(STAMP) ## mypy: strict in bench/, plain in the plug-ins
	@'$(PY)' -m mypy
imports: $(STAMP) ## import-linter: who may import whom
	@'$(PY)' -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
perf: $(STAMP) ## time the parts that must stay fast; prints ratios
	@'$(PY)' -m pytest tests/perf -m perf -s $(ARGS)
tables: $(STAMP) ## write the tables of the report again from the finished runs
	@'$(PY)' -m bench render --kind tables $(ARGS)
plots: $(STAMP) ## write the plots of the report again from the finished runs
	@'$(PY)' -m bench render --kind plots $(ARGS)
pins: $(STAMP) ## write constraints.txt again from pyproject.toml (UPGRADE=--upgrade for newer releases)
	@'$(PY)' -m uv pip compile -q --universal --no-annotate --no-header --group dev $(UPGRADE) pyproject.toml -o constraints.txt
clean: ## remove caches and build products; the environment and $BENCH_HOME stay
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . \( -name .venv -o -name out -o -name .git \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# TORCH= always asks again; otherwise only a change of the pins does.
$(STAMP): pyproject.toml constraints.txt $(if $(TORCH),FORCE)
	@[ -n '$(BASE)' ] || { echo "make setup: no python3 here; install Python 3.11 or newer with python3-venv" >&2; exit 1; }
	@'$(BASE)' .ci/setup.py '$(if $(PYTHON),$(PYTHON),.venv)' --stamp '$@' --torch '$(TORCH)'
