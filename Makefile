# make demo         the whole way on this machine: a private RabbitMQ over TLS, the plugin, a receiver
# make test         lint, types, coverage and all tests
# make coverage     every branch of the pure modules in setup.cfg, reached by their own tests; part of make test
# make steady       five whole runs of the tests: random orders, a busy machine, SIGINT ignored; an hour
# make bench        throughput, memory and latency, as ratios; three quarters of an hour; BENCH_ARGS=--report writes README's table
# make peers        speed and loss beside bridges in Go, Node and Python, Fluentd and Fluent Bit: two tables; 15 minutes
# make chaos        hundreds of faults over hundreds of thousands of events: nothing lost, nothing doubled without a reason
# make organisation  100,000 audit entries and 50,000 computers among 20 kills and 20 outages: each once
# make mutants      four plugins that break the promise: the chaos suite must notice each
# make fuzz         ten minutes among a hostile broker, a hostile server, garbage and rude clients: the rest notices nothing
# make shapes       110,000 events through each version of each schema, hostile ones too: no value is lost; half an hour
# make limits       300 idle streams, events of 4 MiB, how soon a standby takes over
# make conformance  the end-to-end tests against real Fluentd and Fluent Bit, which must be on PATH
# make systemd      the shipped unit under the systemd of this machine, as root, with a plugin in /opt/fluent-plugin-amp
# make containers   the image, the compose files and the container ways of docs/install.md under the Docker engine of this machine
# make sbom         what the plugin's image is made of, as CycloneDX: dist/fluent-plugin-amp.cdx.json; needs Docker with BuildKit
# make install-try  docs/install.md on a clean Debian, from nothing to delivered events: MACHINE='docker exec -i clean sh -c'
# make history      backfill and reconcile against 100,000 recorded events: gaps, rounded ids, interruptions, memory
# make floors       all tests with the oldest versions that setup.cfg allows, on the oldest Python (PYTHON_OLDEST)
# make dist         source archive and wheel in dist/, tried in a clean environment outside of the checkout
# make deb          a Debian package in dist/, for the release of Debian and the architecture of this machine
# make docs         the pages, man pages, shell completion and the schema for editors that are generated from the code
#
# Both demo and test need Debian with Python ≥ 3.10 and nothing else: what is missing is installed from the system's
# packages (as root, or through sudo) and into .venv.

PYTHON ?= python3
PYTHON_OLDEST ?= python3.10
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell test "$$(id -u)" = 0 || command -v sudo)
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600

# The tests start the program hundreds of times: its bytecode is kept, though the environment may say otherwise.
export PYTHONDONTWRITEBYTECODE :=

# The tests wait for other processes half of their time: three workers keep two cores busy.
WORKERS := -n 3 --dist loadfile

.PHONY: demo test lint coverage rest unit steady bench peers chaos organisation mutants fuzz shapes limits conformance \
  systemd containers sbom install-try history floors dist deb docs system tools npm go clean

demo: system $(VENV)/demo
	$(BIN)/fluent-plugin-amp demo

# Each test is run once: those of the pure modules by `coverage`, all others by `rest`.
test: lint coverage rest

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

coverage: $(VENV)/test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --hypothesis-seed=0 --cov --cov-config=setup.cfg $$($(BIN)/python -m tests.covered)

rest: system tools npm $(VENV)/test
	$(BIN)/python -m pytest $(WORKERS) $$($(BIN)/python -m tests.covered --ignore) $(PYTEST_ARGS)

unit: system tools npm $(VENV)/test
	$(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS)

steady: system tools npm $(VENV)/test
	$(BIN)/python -m tests.steady $(STEADY_ARGS)

bench: system $(VENV)/bench
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

peers: system go npm $(VENV)/peers
	$(BIN)/python -m tests.peers $(PEERS_ARGS)

chaos: system $(VENV)/test
	$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

organisation: system $(VENV)/test
	$(BIN)/python -m tests.chaos.organisation $(ORGANISATION_ARGS)

mutants: system $(VENV)/test
	$(BIN)/python -m tests.chaos.mutants

fuzz: system $(VENV)/test
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

shapes: $(VENV)/test
	$(BIN)/python -m tests.pipeline.shape.trips $(SHAPES_ARGS)

limits: system $(VENV)/test
	$(BIN)/python -m tests.chaos.limits

conformance: system $(VENV)/test
	$(BIN)/python -m tests.conformance

systemd:
	$(PYTHON) -m tests.systemd

containers: $(VENV)/test
	$(BIN)/python -m tests.containers

sbom:
	docker build --target sbom --output dist .

# WHEELHOUSE: a folder of wheels for pip, where the machine has no package index.
install-try: system $(VENV)/test
	$(BIN)/python -m tests.install --machine "$(MACHINE)" $(INSTALL_ARGS)

history: $(VENV)/test
	$(BIN)/python -m tests.history $(HISTORY_ARGS)

floors: system tools npm $(VENV)-floors/test
	$(VENV)-floors/bin/python -m pytest $(WORKERS) $(PYTEST_ARGS)

# What is tried is what a user gets: the wheel and its dependencies, and no checkout to fall back on.
dist: $(VENV)/test
	rm -rf dist build
	$(BIN)/python -m build --outdir dist
	@set -e; try=$$(mktemp -d); trap 'rm -rf "$$try"' EXIT; $(PYTHON) -m venv "$$try/venv"; \
	"$$try/venv/bin/pip" install --quiet --disable-pip-version-check dist/*.whl; \
	cd "$$try"; PATH="$$try/venv/bin:$$PATH"; \
	fluent-plugin-amp --version; fluent-plugin-amp schema >/dev/null; amp-streams --help >/dev/null; \
	printf '%s' '{name: a, id: 1, cloud: eu, url: "amqps://localhost", username: a, password: a, queue: a}' > stream.yml; \
	fluent-plugin-amp init --for systemd --credentials stream.yml amp >/dev/null; \
	echo "dist/ is good: the wheel runs outside of the checkout"

# In a copy, as Debian's tools write beside the sources and into them.
deb:
	@dpkg-checkbuilddeps 2>/dev/null || { echo "installing Debian's packaging tools"; \
	  $(APT) update -qq && $(APT) install -y -qq dpkg-dev >/dev/null && $(APT) build-dep -y -qq ./ >/dev/null; }
	rm -rf build/deb
	mkdir -p build/deb/source dist
	cp -a setup.cfg pyproject.toml README.md CHANGELOG.md LICENSE MANIFEST.in conf docs examples share fluent_plugin_amp debian build/deb/source
	cd build/deb/source && dpkg-buildpackage --build=binary --no-sign
	mv build/deb/*.deb dist/

docs: $(VENV)/test
	$(BIN)/python -m fluent_plugin_amp.config.reference > docs/configuration.md
	$(BIN)/python -m fluent_plugin_amp.commands.errors_reference > docs/errors.md
	$(BIN)/python -m fluent_plugin_amp.commands.manual share
	$(BIN)/python -m fluent_plugin_amp.commands.shapes_reference > docs/shapes.md
	$(BIN)/fluent-plugin-amp schema > conf/fluent-plugin-amp.schema.json

# --- what is needed --------------------------------------------------------------------------------

system:
	@test -x /usr/lib/rabbitmq/bin/rabbitmq-server || command -v rabbitmq-server >/dev/null \
	  || { echo "installing RabbitMQ from the system's packages"; $(APT) update -qq && $(APT) install -y -qq rabbitmq-server >/dev/null; }

# What only the tests need besides: a TLS syslog relay, a browser for the status page, Prometheus' promtool for the
# alerts, and Node for an independent Forward server from npm, at the version and checksum of its lock file.
tools:
	@export PATH="$$PATH:/usr/sbin"; missing=""; \
	command -v rsyslogd >/dev/null && ls /usr/lib/*/rsyslog/lmnsd_gtls.so >/dev/null 2>&1 || missing="$$missing rsyslog rsyslog-gnutls"; \
	command -v chromium >/dev/null || missing="$$missing chromium fonts-dejavu-core"; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v npm >/dev/null || missing="$$missing nodejs npm"; \
	test -z "$$missing" || { echo "installing$$missing from the system's packages"; \
	  $(APT) update -qq && $(APT) install -y -qq --no-install-recommends $$missing >/dev/null; }

npm: tests/peers/node_modules

tests/peers/node_modules: tests/peers/package-lock.json | tools
	npm ci --prefix tests/peers --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# What the bridge in Go is made of. Where these cannot be installed it is listed as not run.
go:
	@missing=""; command -v go >/dev/null || missing="golang-go"; \
	for library in rabbitmq-amqp091-go fluent-fluent-logger-golang; do \
	  dpkg-query -W golang-github-$$library-dev >/dev/null 2>&1 || missing="$$missing golang-github-$$library-dev"; done; \
	test -z "$$missing" || { echo "installing $$missing from the system's packages"; \
	  $(APT) update -qq && $(APT) install -y -qq --no-install-recommends $$missing >/dev/null || echo "not installed: $$missing"; }

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or later is needed"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { echo "installing python3-venv from the system's packages"; $(APT) update -qq && $(APT) install -y -qq python3-venv >/dev/null; }
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of dependencies, so that `make demo` does not install the tests' tools.
$(VENV)/demo: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/test: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/demo

$(VENV)/bench: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable '.[bench]'
	@touch $@ $(VENV)/test $(VENV)/demo

$(VENV)/peers: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable '.[peers]'
	@touch $@ $(VENV)/test $(VENV)/demo

# The oldest versions are read from setup.cfg: there is no second list.
$(VENV)-floors/test: setup.cfg pyproject.toml .ci/floors
	@command -v $(PYTHON_OLDEST) >/dev/null || { echo "PYTHON_OLDEST=$(PYTHON_OLDEST) is not there"; exit 1; }
	$(PYTHON_OLDEST) -m venv --clear $(VENV)-floors
	$(VENV)-floors/bin/python .ci/floors setup.cfg > $(VENV)-floors/constraints.txt
	$(VENV)-floors/bin/pip install --quiet --disable-pip-version-check --constraint $(VENV)-floors/constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-floors build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
