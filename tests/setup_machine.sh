#!/usr/bin/env bash
# Adds what the tests use where that can be done quietly: Debian's PostgreSQL server, for TLS and logins that are not superusers; the
# program `age`, which must open what Manor encrypts; `pgbackrest`, whose repository can be the source of a restore; an S3 server; the
# tests of azure-cosmos.
# Assumes nothing and never fails: what could not be had is named by the test run itself (tests/conftest.py).
set -uo pipefail
cd "$(dirname "$0")/.."

install_with_apt() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return; fi
  echo "set-up: $1 of this distribution, for the tests"
  export DEBIAN_FRONTEND=noninteractive
  install_it() { timeout 300 apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "$1"; }
  install_it "$2" >/dev/null 2>&1 || { timeout 120 apt-get update -qq && install_it "$2"; } >/dev/null 2>&1 ||
    echo "set-up: could not be installed; the tests that need it will say so"
}

add_postgresql() {
  if compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then return; fi
  # Only the programs are wanted: without this the package makes and starts a server of its own.
  if [ "$(id -u)" = 0 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  install_with_apt "PostgreSQL server" postgresql
}

add_age() {
  if command -v age >/dev/null; then return; fi
  install_with_apt "the program age" age
}

add_pgbackrest() {
  if command -v pgbackrest >/dev/null; then return; fi
  install_with_apt "the program pgbackrest" pgbackrest
}

# In an environment of its own: botocore, which it brings, holds python-dateutil below 3, and .venv has 4.
add_s3_server() {
  local stamp
  stamp=.venv/s3-server/installed-$(cksum <requirements/s3-server.lock | tr -d ' ')
  if [ -e "$stamp" ]; then return; fi
  echo "set-up: S3 server of requirements/s3-server.lock, for the tests"
  { .venv/bin/python -m venv --clear .venv/s3-server &&
    .venv/s3-server/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/s3-server.lock &&
    touch "$stamp"; } >/dev/null 2>&1 || echo "set-up: could not be installed; the tests that need it will say so"
}

# azure-cosmos's own tests, which are in its source archive, and what runs them.
add_cosmos_suite() {
  local stamp
  stamp=.venv/cosmos-suite/installed-$(cat requirements/cosmos-suite.lock requirements/cosmos-suite-source.lock | cksum | tr -d ' ')
  if [ -e "$stamp" ]; then return; fi
  echo "set-up: azure-cosmos's own tests, of requirements/cosmos-suite-source.lock"
  { .venv/bin/python -m venv --clear .venv/cosmos-suite &&
    .venv/cosmos-suite/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/cosmos-suite.lock &&
    .venv/cosmos-suite/bin/python -m pip download -qq --disable-pip-version-check --require-hashes --no-deps --no-binary :all: \
      --no-build-isolation --dest .venv/cosmos-suite -r requirements/cosmos-suite-source.lock &&
    mkdir .venv/cosmos-suite/source &&
    tar xzf .venv/cosmos-suite/azure_cosmos-*.tar.gz -C .venv/cosmos-suite/source --strip-components 1 &&
    touch "$stamp"; } >/dev/null 2>&1 || echo "set-up: could not be installed; the tests that need it will say so"
}

add_postgresql
add_age
add_pgbackrest
add_s3_server
add_cosmos_suite
exit 0
