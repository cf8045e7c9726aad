# Everything from a fresh Debian 12 machine on. Each target does the set-up that it needs and that is not done yet.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
SITE ?= demo
PYTHON ?= python3

inventory := inventories/$(SITE)
molecule := molecule --base-config molecule/base.yml
drift_file := .cache/drift-$(SITE).jsonl
utils := ansible_collections.sallyport.im.plugins.plugin_utils

# the tools of the virtual environment, on this checkout; Molecule would else ignore ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PYTHONPATH := $(CURDIR)/collections:$(CURDIR)/tests
export PYTHONDONTWRITEBYTECODE := 1

.NOTPARALLEL:
.PHONY: help demo test acceptance check lint unit verify drift archive-verify holds rules-dry-run new-site new-authority password bench docs clean setup engine image demo-secrets demo-is-there decision-point molecule machine requirements

help: ## prints this table
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Targets that work on a site take SITE=<folder in inventories/>; without it they take the demo."

## set-up

# the tools; made anew when requirements.txt changes
.venv/ready: requirements.txt
	@setup/packages.sh $(PYTHON)
	@echo "== virtual environment =="
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install --quiet --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	@touch $@

engine:
	@setup/engine.sh

image: engine
	@setup/image.sh >/dev/null

setup: .venv/ready image

requirements: .venv/ready
	@command -v uv >/dev/null || { echo 'This needs uv, which is not part of the kit: pip install uv' >&2; exit 1; }
	uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --output-file requirements.txt requirements.in

## the demo and the tests

demo: inventory := inventories/demo
demo: setup demo-secrets ## from a fresh machine to a running, proven site in containers
	@setup/machine.sh stop
	@echo "== test hosts =="
	ansible-playbook -i $(inventory) playbooks/test_hosts.yml playbooks/test_hosts_world.yml
	@echo "== site =="
	ansible-playbook -i $(inventory) playbooks/site.yml
	@$(MAKE) --no-print-directory verify SITE=demo
	@# one of the people is left to whoever tries the demo
	@mkdir -p .cache
	@test -e $(inventory)/invitations/carl.txt || \
	  ansible-playbook -i $(inventory) playbooks/invite.yml -e person=carl >.cache/invite.log || { cat .cache/invite.log; exit 1; }
	@python -m $(utils).welcome $(inventory) reports/demo

demo-secrets: .venv/ready
	@python -m $(utils).new_site --demo

test: setup lint unit decision-point molecule ## from a fresh machine to lint, unit and policy tests and the whole site passed; what CI runs

molecule: setup demo-secrets
	@echo "== molecule =="
	mkdir -p .cache
	@setup/machine.sh stop
	$(molecule) destroy --no-command-borders
	$(molecule) test --destroy=never --no-command-borders 2>&1 | tee .cache/molecule.log
	@# Molecule's summary has the last word; repeat what pytest said
	@sed 's/\x1b\[[0-9;]*m//g' .cache/molecule.log | grep -E '^=+ .* in [0-9.]+s.* =+$$' | tail -n 1

decision-point: setup
	@echo "== decision point, on a Prosody of its own =="
	pytest tests/decision_point

lint: .venv/ready ## the linters and type checks
	@echo "== lint =="
	ruff check
	ruff format --check
	mypy --strict plugins tests
	ansible-lint --offline -q
	luacheck --quiet roles tests

unit: .venv/ready ## the quick tests, under a minute
	@echo "== unit and policy tests =="
	pytest --numprocesses=auto --dist=worksteal

# each under ten minutes; a mutation run that was stopped goes on where it was
parts := accounts test_service_config_faults.py test_killed_runs.py test_drift.py test_hardening.py test_lynis.py \
  test_updates.py test_ssh.py test_firewall_rollback.py test_power_off.py test_every_port.py test_hostile.py \
  test_expiry.py test_people_live.py test_big_lists.py test_perimeter_reload.py \
  test_desktop_lapses.py test_every_stanza.py test_log_loss.py archive alerts mutations machine

demo-is-there:
	@test -e inventories/demo/.ssh/config || { echo 'There is no demo yet: run make demo first.' >&2; exit 1; }

acceptance: setup demo-is-there ## the long rest on the demo, in parts of under ten minutes each; PART=<name> runs one
	@for part in $(or $(PART),$(parts)); do \
	  echo "== acceptance: $$part =="; \
	  if [ $$part = mutations ]; then pytest tests/system --site=inventories/demo --mutate; \
	  elif [ $$part = machine ]; then $(MAKE) --no-print-directory machine; \
	  elif [ -d tests/$$part ]; then pytest tests/$$part; \
	  else pytest tests/acceptance/$$part; fi; \
	done

machine: setup demo-is-there ## the internal server on an emulated machine with a kernel of its own, before and after a reboot
	@setup/machine.sh start || { setup/machine.sh stop; exit 1; }
	$(molecule) test -s machine --no-command-borders

new-authority: .venv/ready ## a new authority for a site, where the old one no longer fits: SITE=<name>
	$(if $(filter file,$(origin SITE)),$(error name the site: make new-authority SITE=oslo))
	@python -m $(utils).new_site --authority $(SITE)

password: .venv/ready ## the password of one of the demo's people: PERSON=alice
	@python -c "from pathlib import Path; from $(utils).vault import read_vault; \
	  print(read_vault(Path('inventories/demo'))['demo_passwords'].get('$(PERSON)') or exit('PERSON=alice or PERSON=bob'))"

bench: setup demo-is-there ## the measurements of docs/performance.md, as ratios in one run
	python -m bench

docs: .venv/ready ## the generated references in docs/, from the site model
	python -m $(utils).check --schema >docs/site.schema.json
	python -m $(utils).check --reference >docs/site-file.md
	python -m $(utils).consumer_im >docs/consumer-im.md
	python -m system.controls_page >docs/controls.md

## any site

check: .venv/ready ## reads and checks a site file, touches no host; all faults at once
	@python -m $(utils).check $(inventory)

verify: .venv/ready ## the controls on a site, and the report
	@echo "== controls =="
	pytest tests/system --site=$(inventory)

drift: .venv/ready ## what differs on the hosts of a site from what is declared
	@rm -f $(drift_file) && mkdir -p .cache
	@ANSIBLE_STDOUT_CALLBACK=sallyport.im.drift SALLYPORT_DRIFT_FILE=$(drift_file) \
	  ansible-playbook -i $(inventory) playbooks/site.yml --check --diff
	@# the file is there when the run came to its end, and empty when nothing differs
	@test -e $(drift_file) && test ! -s $(drift_file)

archive-verify: .venv/ready ## whether the archive of a site is as it was sealed, by what the gateway has seen of it
	@ansible-playbook -i $(inventory) playbooks/archive_verify.yml

holds: .venv/ready ## tells the server of a site what is under a legal hold, after sallyport-archive hold and release
	@ansible-playbook -i $(inventory) playbooks/holds.yml

rules-dry-run: .venv/ready ## what the rules of a site would have said of the messages in its archives; changes nothing
	@ansible-playbook -i $(inventory) playbooks/rules_dry_run.yml

new-site: .venv/ready ## a new inventory: SITE=<name> DOMAIN=<its IM domain>, optionally EXTERNAL=<domain for partners> NETWORK=<10.x.0.0/16>
	@python -m $(utils).new_site $(SITE) $(DOMAIN) $(if $(EXTERNAL),--external $(EXTERNAL)) $(if $(NETWORK),--network $(NETWORK))

clean: ## removes what the kit made on this machine, and only that
	@setup/clean.sh
