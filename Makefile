# Each target is a thin call of a real tool; `make` alone lists them.
#   STACK=local      the stack a command is about
#   WORKLOAD=name    which workload of STACK a command is about, instead of the default one
#   ARGS=...         further flags for `pulumi up`, `preview` or `destroy`
#   BASE=revision    what `preview` and `review` compare with, instead of with nothing
#   DEPLOYED=1       `review` compares with what is there, on the real backend and providers
#   REPORT=folder    where reports are written to
#   DATA=file.csv    the raw data that `up` ingests, remembered for STACK and WORKLOAD; `DATA=generated` for generated rows
#   LOSE="role ..."  whose data `down` may delete, on other stacks than local
#   SUITES="..."     which suites `test` runs, instead of all
#   TESTS="..."      which tests `dev` runs at each save: paths and flags of pytest
#   ROUNDS=5         how often `rounds` runs each suite, instead of 20 times
#   COVERAGE=1       `test` measures which lines of the product its suites execute
#   SINCE=2026-11-01 from which day on `audit` shows entries, instead of all
#   KEY=a,b          values of the keys of the entity that `erase` is about; CUSTOMER=1002 where the workload is about customers
#   SERVER=name      whose login `credentials` prints for curl, e.g. `prometheus`
#   OVERLAP=7        days for which `rotate-…` lets the former key or tokens count; 0 for those that somebody else may have
#   FROM=folder      where `workload` finds a package
#   REGISTRY=...     where `images` pushes to, e.g. 127.0.0.1:5001/mlplatform
STACK ?= local
WORKLOAD ?=
ARGS ?=
REGISTRY ?=
SERVER ?=
OVERLAP ?=
TESTS ?=
PYTHON ?= python3
export DATA DRILL WORKLOAD KEY CUSTOMER

# A shell's own modules must not replace the project's, and no proxy stands before this machine (tools/isolation.py).
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP
COMMA = ,
ifneq ($(strip $(foreach name,http_proxy https_proxy all_proxy grpc_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY GRPC_PROXY,$($(name)))),)
export no_proxy := $(addsuffix $(COMMA),$(or $(no_proxy),$(NO_PROXY)))127.0.0.1,localhost,::1
export NO_PROXY := $(no_proxy)
endif

# The environment in which a command about the stack runs.
WITH = $(PYTHON) -m tools.env --stack $(STACK) --
INFRA = .venv/bin
DOCS = $(shell $(PYTHON) -c 'from infra.base import paths; print(paths.environment_dir("docs"))')/bin
WORKLOADS = $(shell $(PYTHON) -c 'from infra.base import paths; print(paths.environment_dir("workloads"))')/bin

ACTIONLINT = $(shell $(PYTHON) -c 'from infra.base import paths; print(paths.tools_dir(module="actionlint"))')/bin/actionlint

# Distributions of their own in this repository: simulated providers and pytest plugins.
DISTRIBUTIONS = simulated_pulumi pytest_pulumi pytest_pulumi_kubernetes

# `dev`: whether its tests are the workloads', which have an environment of their own, and the folders whose changes start them.
OF_WORKLOADS = $(filter tests/unit/workloads%,$(TESTS))
WATCHED = docs infra policies stacks tests tools workloads

# Finds code of ten lines and more that stands in two places; a migration keeps the tables of its time.
SIMILAR = $(INFRA)/symilar --duplicates=10 --ignore-comments --ignore-docstrings --ignore-imports --ignore-signatures \
  $$(git ls-files "infra/*.py" "policies/*.py" "stacks/*.py" "tools/*.py" "workloads/*.py" ":!*/migrations/*")

# Runs a command about STACK on the real engine with simulated providers; BASE=revision compares with that one.
SIMULATED = $(WITH) "$(CURDIR)/$(INFRA)/python" -m stacks.commands.simulated --stack $(STACK) $(if $(BASE),--base $(BASE)) --

# Where everything is, with the token of the retraining service, for the commands that talk to the platform.
OUTPUTS = $(WITH) pulumi stack output --stack $(STACK) --json --show-secrets
# The same as programs of this machine use them: past a login, by the ports of `make forward`.
REACHED = $(OUTPUTS) | $(INFRA)/python -m stacks.commands.forward --outputs --workload "$(WORKLOAD)"

# After a failed `up`, notes the actor in the audit log and keeps the exit status.
NOTE_FAILURE = { status=$$?; $(OUTPUTS) 2>/dev/null | $(INFRA)/python -m stacks.commands.audit note --stack $(STACK) --action up --outcome failed; exit $$status; }

# On a cluster, it first lists the pods that do not run, with cause and fix.
EXPLAIN_FAILURE = { status=$$?; $(WITH) pulumi stack export --stack $(STACK) --show-secrets 2>/dev/null | $(WITH) "$(CURDIR)/$(INFRA)/python" -m stacks.commands.pods --stack $(STACK); (exit $$status) || $(NOTE_FAILURE); }

# By variables, so that `make --dry-run` prints them: lines that name make itself are run even then.
UP = $(MAKE) --no-print-directory up
REVIEW = $(MAKE) --no-print-directory review

# Reports of `policy` and `policy-state`.
POLICY_REPORTS = $(if $(REPORT),--json "$(abspath $(REPORT))/policy.json" --sarif "$(abspath $(REPORT))/policy.sarif")

.DEFAULT_GOAL := help
.PHONY: help install workload contract up preview validate access-matrix policy policy-state review drift cost prices down backup restore preflight doctor audit outputs credentials forward env drill retrain status stage edge erase evidence rollback rotate-signing-key rotate-tokens dev test test-node soak-node soak rounds simulate check wheel lock images bench docs pictures

help: ## [help] list the targets
	@$(PYTHON) -m tools.help $(firstword $(MAKEFILE_LIST))

install: ## [develop] install what STACK needs and this machine lacks, outside the checkout
	@$(PYTHON) -m tools.install --stack $(STACK)

workload: ## [develop] install a workload of another repository: FROM=folder of its package; REMOVE=package takes one away
	@$(PYTHON) -m tools.workload_packages $(if $(REMOVE),--remove "$(REMOVE)","$(FROM)")

contract: ## [develop] test WORKLOAD against the contract of every workload, without a stack
	@$(WITH) "$(WORKLOADS)/python" -m pytest --confcutdir tests/unit/workloads -k "$(WORKLOAD)" tests/unit/workloads/test_workload_contract*.py

up: install ## [run] bring STACK up, and show its addresses and an answered prediction
	@$(WITH) $(PYTHON) -m tools.recover --stack $(STACK) $(if $(filter local,$(STACK)),--forget-creations)
	@$(WITH) pulumi stack select --create $(STACK)
ifeq ($(STACK),local)
	@$(WITH) $(PYTHON) -m tools.progress --stack $(STACK) -- pulumi up --yes --skip-preview --refresh --policy-pack policies/pack $(ARGS) || $(NOTE_FAILURE)
else
	@$(PYTHON) -m tools.image_signing --stack $(STACK)
	@$(WITH) $(INFRA)/python -m stacks.commands.adopt --stack $(STACK)
	@$(WITH) $(INFRA)/python -m policies up $(filter --yes -y,$(ARGS)) -- $(filter-out --yes -y,$(ARGS)) || $(EXPLAIN_FAILURE)
endif
	@$(OUTPUTS) | $(INFRA)/python -m stacks.commands.audit note --stack $(STACK) --action up
ifeq ($(STACK),local)
	@$(OUTPUTS) | $(INFRA)/python -m stacks.commands.credentials --link
endif
	@$(WITH) pulumi stack output --json | $(INFRA)/python -m stacks.commands.welcome --stack $(STACK)

preview: install ## [review] show what `up` would change; other stacks than local without any account, since BASE if given
ifeq ($(STACK),local)
	@$(WITH) pulumi stack select --create $(STACK)
	@$(WITH) $(INFRA)/python -m policies preview -- $(ARGS)
else
	@$(SIMULATED) "$(CURDIR)/$(INFRA)/python" -m stacks.commands.preview --stack $(STACK) $(if $(REPORT),--reports "$(abspath $(REPORT))") -- $(ARGS)
endif

policy: install ## [review] judge by the policies what `up` would create and delete; REPORT=folder writes JSON and SARIF
ifeq ($(STACK),local)
	@$(WITH) pulumi stack select --create $(STACK)
	@$(WITH) $(INFRA)/python -m policies preview $(POLICY_REPORTS) -- $(ARGS)
else
	@$(SIMULATED) "$(CURDIR)/$(INFRA)/python" -m policies preview $(POLICY_REPORTS) -- $(ARGS)
endif

policy-state: install ## [review] judge by the policies what is deployed of STACK, without running the program
	@$(WITH) $(INFRA)/python -m policies state --stack $(STACK) $(POLICY_REPORTS) -- $(ARGS)

review: install ## [review] write a pull request's comment about STACK since BASE (preview, policies, cost) into the folder REPORT
	@$(if $(DEPLOYED),$(WITH),$(SIMULATED)) "$(CURDIR)/$(INFRA)/python" -m stacks.commands.review --stack $(STACK) \
	  $(if $(DEPLOYED),--deployed,$(if $(BASE),--base $(BASE))) --reports "$(abspath $(or $(REPORT),reports))"

cost: install ## [review] estimate a month's bill of STACK and each workload, without any account; BASE=revision for the difference, REPORT=file for JSON
	@$(SIMULATED) "$(CURDIR)/$(INFRA)/python" -m stacks.commands.cost --stack $(STACK) --workload "$(WORKLOAD)" $(if $(BASE),--base $(BASE)) $(if $(REPORT),--json "$(abspath $(REPORT))")

prices: ## [review] renew prices of machines from AWS's public price list, for `make cost`; needs no account, but 3 GB of memory
	@$(PYTHON) -m tools.install --stack $(STACK) infra
	@$(INFRA)/python -m stacks.commands.cost.renew

drift: ## [review] fail when resources of STACK were changed outside of the program; changes nothing
	@$(PYTHON) -m tools.install --stack $(STACK) infra pulumi
	@$(WITH) pulumi refresh --stack $(STACK) --preview-only --expect-no-changes --non-interactive $(ARGS)

down: ## [run] destroy STACK and its state; refuses to delete data of roles that LOSE does not name
	@$(PYTHON) -m tools.install --stack $(STACK) infra pulumi
ifneq ($(STACK),local)
	@$(WITH) $(INFRA)/python -m stacks.commands.holdings --stack $(STACK) --lose $(LOSE)
endif
	@$(OUTPUTS) 2>/dev/null | $(INFRA)/python -m stacks.commands.audit note --stack $(STACK) --action down --outcome begun --keep
	@$(WITH) $(PYTHON) -m tools.down --stack $(STACK) $(ARGS)
	@$(INFRA)/python -m stacks.commands.audit note --stack $(STACK) --action down </dev/null
ifneq ($(STACK),local)
	@$(INFRA)/python -m stacks.commands.sweep --stack $(STACK)
endif

backup: ## [run] copy state, stores and databases of the running local stack into the new folder REPORT; it holds secrets
	@$(PYTHON) -m tools.backup save --stack $(STACK) "$(abspath $(or $(REPORT),backup))"

restore: ## [run] bring STACK up as the backup in the folder FROM has it, after a lost machine or a `make down`
	@$(PYTHON) -m tools.backup restore --stack $(STACK) "$(abspath $(or $(FROM),backup))"
	@$(UP)

preflight: ## [review] check quotas and zones of STACK's account; BLOCKED lines say what to raise
	@$(INFRA)/python -m stacks.commands.preflight --stack $(STACK)

doctor: ## [run] check every part of STACK; prints cause and fix of each failure
	@$(REACHED) | $(WITH) "$(CURDIR)/$(INFRA)/python" -m stacks.commands.doctor --stack $(STACK) $(ARGS)

audit: ## [review] print who did what on STACK, SINCE=2026-11-01 if given; fails when the log was tampered with; ARGS=--json for lines of JSON
	@$(OUTPUTS) 2>/dev/null | $(INFRA)/python -m stacks.commands.audit show --stack $(STACK) --since "$(SINCE)" --workload "$(WORKLOAD)" $(ARGS)

validate: ## [review] run third-party validators on what STACK declares, without any account; REPORT=folder for JSON
	@$(PYTHON) -m tools.install --stack $(STACK) infra cloud judges checkov
	@$(INFRA)/python -m stacks.commands.validate --stack $(STACK) $(if $(REPORT),--json "$(abspath $(REPORT))/validate.json")

access-matrix: ## [review] print the rights on AWS that the program of STACK declares
	@$(PYTHON) -m tools.install --stack $(STACK) infra cloud
	@$(WITH) $(INFRA)/python -m stacks.commands.access_matrix --stack $(STACK)

outputs: ## [run] print addresses and names, as JSON
	@$(WITH) pulumi stack output --stack $(STACK) --json

credentials: ## [run] print the logins of STACK's servers, and a link to the start page; SERVER=name for `curl -K -`
	@$(OUTPUTS) | $(INFRA)/python -m stacks.commands.credentials --server "$(SERVER)"

forward: ## [run] open loopback ports to the servers of STACK on a cluster, until interrupted
	@$(OUTPUTS) | $(INFRA)/python -m stacks.commands.forward

env: ## [run] print shell lines for eval "$$(make -s env)", after which plain `pulumi` works
	@$(PYTHON) -m tools.env --stack $(STACK)

drill: ## [model] run fire drills on STACK: a bad release must be rolled back, drift must lead to a new model, poisoned data must not
	@$(UP) DRILL=1
	@status=0; \
	for drill in --bad-release "" --poisoned; do \
	  $(REACHED) | "$(WORKLOADS)/python" -m workloads.lifecycle.operations.drill --outputs - $$drill || { status=$$?; break; }; \
	done; \
	$(UP) DRILL= && exit $$status

retrain: ## [model] retrain the model on the running STACK by hand and wait for the outcome
	@$(REACHED) | "$(WORKLOADS)/python" -m workloads.lifecycle.retraining.client retrain --outputs - --wait

status: ## [model] print past and current retrains of the running STACK, as JSON
	@$(REACHED) | "$(WORKLOADS)/python" -m workloads.lifecycle.retraining.client status --outputs -

stage: ## [run] run a command with the variables of a stage of the running STACK: RUN="python -m ..."
	@$(PYTHON) -m tools.stage --stack $(STACK) --workload "$(WORKLOAD)" -- $(RUN)

edge: ## [model] write WORKLOAD's champion to the folder REPORT as files that run without the platform
	@$(PYTHON) -m tools.stage --stack $(STACK) --workload "$(WORKLOAD)" -- python -m workloads.lifecycle.operations.edge "$(abspath $(or $(REPORT),edge))" $(ARGS)

erase: ## [model] erase CUSTOMER=1002, or KEY=... of any WORKLOAD, from everything that keeps rows, and keep its rows of raw data out
	@$(PYTHON) -m tools.stage --stack $(STACK) --workload "$(WORKLOAD)" -- python -m workloads.lifecycle.pipelines.erasure --key "$$KEY" --customer "$$CUSTOMER"

evidence: ## [model] check the chain of evidence of WORKLOAD's promotions
	@$(PYTHON) -m tools.stage --stack $(STACK) --workload "$(WORKLOAD)" -- python -m workloads.lifecycle.registry.evidence

rollback: ## [model] serve the previous model version again on the running STACK
	@$(REACHED) | "$(WORKLOADS)/python" -m workloads.lifecycle.retraining.client rollback --outputs -

rotate-signing-key: ## [model] sign verdicts with a new key: counts it up in the file of STACK, then brings STACK up
	@$(WITH) "$(CURDIR)/$(INFRA)/python" -m stacks.commands.rotate --stack $(STACK) --workload "$(WORKLOAD)" --overlap "$(OVERLAP)"
	@$(UP)
	@$(OUTPUTS) | $(INFRA)/python -m stacks.commands.audit note --stack $(STACK) --action rotation --about "signing key of $(or $(WORKLOAD),the default workload)"

rotate-tokens: ## [model] replace the tokens of the retraining service: counts them up in the file of STACK, then brings STACK up
	@$(WITH) "$(CURDIR)/$(INFRA)/python" -m stacks.commands.rotate --what tokens --stack $(STACK) --workload "$(WORKLOAD)" --overlap "$(OVERLAP)"
	@$(UP)
	@$(OUTPUTS) | $(INFRA)/python -m stacks.commands.audit note --stack $(STACK) --action rotation --about "tokens of $(or $(WORKLOAD),the default workload)"

check: ## [develop] check format, lint, types, import directions and prose
	@$(PYTHON) -m tools.install cloud workloads pulumi tools actionlint
	$(INFRA)/ruff format --check .
	$(INFRA)/ruff check .
	$(PYTHON) -m tools.prose
	$(WITH) opa check --strict policies/lib policies/rules policies/release policies/gate.rego
	$(WITH) sh -c 'opa fmt --fail --diff $$(git ls-files --cached --others --exclude-standard "policies/*.rego")'
	$(INFRA)/mypy infra stacks tools policies --exclude '^tools/simulated_pulumi/'  # the next line checks it
	MYPYPATH=tools/simulated_pulumi/src:tests/pytest_pulumi/src:tests/pytest_pulumi_kubernetes/src $(INFRA)/mypy $(DISTRIBUTIONS:%=-p %)
	"$(WORKLOADS)/mypy" workloads --exclude '(component|stack_settings|dashboards)\.py'  # the first line has checked it, where Pulumi's SDK is
	$(INFRA)/lint-imports
	$(SIMILAR) | awk '{ print } / duplicates=0 / { none = 1 } END { exit !none }'
	"$(ACTIONLINT)"
	$(INFRA)/zizmor --offline --quiet .github/workflows

dev: ## [develop] run TESTS="tests/unit/..." at each save of a file, until interrupted
	@$(if $(TESTS),,echo 'say which tests: `make dev TESTS=tests/unit/stacks/test_forward.py`' >&2; exit 2)
	@$(PYTHON) -m tools.install cloud $(if $(OF_WORKLOADS),workloads)
	@$(WITH) $(INFRA)/watchfiles '$(if $(OF_WORKLOADS),"$(WORKLOADS)/python" -m pytest --confcutdir tests/unit/workloads,$(INFRA)/python -m pytest) -q $(TESTS)' $(WATCHED)

test: ## [develop] run every suite of tests/suites.toml, side by side; SUITES="unit ..." runs those, REPORT=folder keeps logs, COVERAGE=1 measures
	@$(PYTHON) -m tools.install
	@$(PYTHON) -m tools.install cloud validators judges checkov clients docs kubernetes kubernetes-provider gatekeeper kserve helm $(if $(COVERAGE),coverage)
	@$(WITH) $(INFRA)/python -m tools.suites $(if $(COVERAGE),--coverage) $(if $(REPORT),--reports "$(abspath $(REPORT))") $(SUITES)

test-node: ## [develop] run the platform's pods on a real Kubernetes node, in namespaces of its own; needs root and Debian's packages
	@$(PYTHON) -m tools.install
	@$(PYTHON) -m tools.install cloud kubernetes kubernetes-provider node node-system
	@$(WITH) $(INFRA)/python -m tools.suites $(if $(REPORT),--reports "$(abspath $(REPORT))") node

soak-node: ## [develop] run the workload, from its release to the fire drills, as pods of a real Kubernetes node; builds its images
	@$(PYTHON) -m tools.install
	@$(PYTHON) -m tools.install cloud kubernetes kserve node node-system node-images
	$(WITH) $(INFRA)/python -m pytest -m "node and soak" tests/node

soak: ## [develop] run the long matrices and every tier, then each suite 20 times under load; an interrupted part continues
	@$(PYTHON) -m tools.install
	@$(PYTHON) -m tools.install cloud validators judges checkov clients kubernetes kubernetes-provider gatekeeper kserve helm
	$(WITH) $(INFRA)/python -m pytest -m "soak or tier" tests/soak tests/contract tests/e2e tests/engine tests/policy tests/unit/docs
	$(WITH) "$(WORKLOADS)/python" -m pytest -m "soak or tier" --confcutdir tests/unit/workloads tests/unit/workloads
	$(INFRA)/python -m tests.tiers --record
	$(WITH) $(INFRA)/python -m tools.suite_rounds

rounds: ## [develop] run SUITES many times under load and record how often a test fails; ROUNDS=5 for fewer than 20
	@$(WITH) $(INFRA)/python -m tools.suite_rounds $(if $(ROUNDS),--rounds $(ROUNDS)) $(SUITES)

simulate: ## [develop] simulate months of production on a virtual clock; ARGS="--days 180 --seeds 0-19 --ledger postgres", REPORT=folder keeps results
	@$(PYTHON) -m tools.install workloads
	@$(WITH) "$(WORKLOADS)/python" -m tests.simulation $(ARGS) $(if $(REPORT),--results "$(abspath $(REPORT))")

images: ## [develop] build the workload's images, push them to REGISTRY, sign them and write stacks/images.json
	@$(PYTHON) -m tools.install $(if $(filter --unsigned,$(ARGS)),,supply_chain cosign)
	@$(PYTHON) -m tools.images --registry "$(REGISTRY)" $(if $(filter file,$(origin STACK)),,--stack "$(STACK)") $(ARGS)

bench: ## [develop] measure the local stack, a preview of prod, then the model server
	@$(PYTHON) -m tools.install
	@$(PYTHON) -m tools.install cloud
	$(INFRA)/python -m tests.bench.local_stack
	$(WITH) $(INFRA)/python -m tests.bench.prod_preview
	"$(WORKLOADS)/python" -m tests.bench.serving

docs: ## [develop] build the documents as a site, which needs no network, into the folder REPORT
	@$(PYTHON) -m tools.install docs
	"$(DOCS)/mkdocs" build --quiet --config-file mkdocs.yml --site-dir "$(abspath $(or $(REPORT),dist/site))"

wheel: ## [develop] build the wheels of the pytest plugins and of the simulated providers into the folder REPORT
	@$(PYTHON) -m tools.install infra
	$(INFRA)/python -m pip wheel --quiet --no-deps --wheel-dir "$(or $(REPORT),dist)" ./tools/simulated_pulumi ./tests/pytest_pulumi ./tests/pytest_pulumi_kubernetes

pictures: ## [develop] renew the documents' pictures from the running local stack and a review of dev since BASE (HEAD); needs Chromium
	@$(PYTHON) -m tools.install cloud workloads test-system
	@$(REVIEW) STACK=dev BASE="$(or $(BASE),HEAD)" REPORT=reports/pictures >/dev/null
	@$(OUTPUTS) | $(INFRA)/python -m tests.screenshots --review reports/pictures/review.md docs/pictures

lock: ## [develop] renew requirements/*.txt from requirements/*.in
	@$(PYTHON) -m tools.lock
