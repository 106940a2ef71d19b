# Copyright 2026 The world_model_ros Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

# The front door: every target sets up what it needs (tools/prepare.py) and then works.

MAKEFLAGS += --no-print-directory
PYTHON := $(shell command -v python3 || command -v python3.11)
IN = $(PYTHON) tools/prepare.py

.PHONY: help demo test test-export train lint lock clean python

help:
	@echo 'make demo    drive the simulated arm to what pictures show   (ARGS="--episodes 3 --seed 7")'
	@echo 'make test    linters, type checks and all tests              (ARGS="-k planner")'
	@echo 'make test-export   export published models at their real sizes and compare'
	@echo 'make train   train the demo model and export its bundle      (ARGS="--help")'
	@echo 'make lint    linters and type checks only'
	@echo 'make lock    pin requirements/*.in anew                      (ARGS="--upgrade")'
	@echo 'make clean   remove everything that was set up or built here'

demo: python
	@$(IN) demo -- wmros demo $(ARGS)

# Two folders at a time but for those that need the processors for themselves. Real processes on a
# machine that others use as well can miss a deadline: what fails is run again, twice at most, without
# another folder beside it, and shown with its traceback. That is something to look into, not to get
# used to. A setpoint outside limits is no matter of deadlines: test/faults says so, and is not run
# again.
ALONE = $(addprefix test/,demo faults launch)
BESIDE = $(filter-out $(ALONE),$(patsubst %/,%,$(wildcard test/*/)))
AGAIN = --rerun-show-tracebacks --rerun-except 'wrong on any machine' --reruns
FAILED = -o cache_dir=.pytest_cache/beside
test: lint
ifeq ($(strip $(ARGS)),)
	@rm -rf .pytest_cache/beside
	@$(IN) test -- pytest $(FAILED) --numprocesses 2 --dist loadfile $(BESIDE) || { [ $$? = 1 ] && \
		$(IN) test -- pytest $(FAILED) --last-failed --last-failed-no-failures none $(AGAIN) 1 \
			$(BESIDE); }
	@$(IN) test -- pytest $(AGAIN) 2 $(ALONE)
else
	@$(IN) test -- pytest $(ARGS)
endif

test-export: python
	@$(IN) test-export -- pytest test/learning/test_export_families.py $(ARGS)

train: python
	@$(IN) train -- wmros train reach $(ARGS)

lint: python
	@$(IN) test -- ruff check
	@$(IN) test -- mypy
	@$(IN) test -- lint-imports

# Keeps every pin that still fits unless ARGS=--upgrade.
LOCK = $(IN) test -- uv pip compile --quiet --generate-hashes --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --custom-compile-command 'make lock' $(ARGS)
lock: python
	@$(LOCK) requirements/demo.in -o requirements/demo.txt
	@$(LOCK) requirements/ros.in -c requirements/demo.txt -o requirements/ros.txt
	@$(LOCK) requirements/test.in -c requirements/ros.txt -c requirements/demo.txt -o requirements/test.txt
	@$(LOCK) requirements/train.in -c requirements/ros.txt -c requirements/demo.txt \
		-c requirements/test.txt -o requirements/train.txt
	@$(LOCK) requirements/export.in -c requirements/ros.txt -c requirements/demo.txt \
		-c requirements/test.txt -c requirements/train.txt -o requirements/export.txt

clean:
	rm -rf .venv build install log out .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info

python:
	@test -n "$(PYTHON)" || { echo 'make: needs CPython 3.11 with venv: install it' \
		'(Debian 12: apt install python3.11-venv python3.11-dev)'; exit 1; }
