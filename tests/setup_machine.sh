#!/usr/bin/env bash
# Adds what the tests use where that can be done quietly: Debian's PostgreSQL server, for TLS and logins that are not superusers; the
# program `age`, which must open what Manor encrypts; `pgbackrest`, whose repository can be the source of a restore; a MariaDB
# server, whose tables can be a source of tenants; servers of S3 and DynamoDB; DBGear; the own
# tests of moto and azure-cosmos.
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

# The programs alone: the package mariadb-server would make and start a server of its own.
add_mariadb() {
  if command -v mariadbd >/dev/null; then return; fi
  install_with_apt "MariaDB server" mariadb-server-core
}

# Each in an environment of its own: both bring a botocore that is not .venv's, and one of them an older python-dateutil.
add_server() {
  local stamp
  stamp=.venv/$1/installed-$(cksum <"requirements/$1.lock" | tr -d ' ')
  if [ -e "$stamp" ]; then return; fi
  echo "set-up: $2 of requirements/$1.lock, for the tests"
  { .venv/bin/python -m venv --clear ".venv/$1" &&
    ".venv/$1/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r "requirements/$1.lock" &&
    touch "$stamp"; } >/dev/null 2>&1 || echo "set-up: could not be installed; the tests that need it will say so"
}

# In a folder of its own, to be put on the path: it asks for Python 3.12 and a cryptography below 43, and uses neither.
add_dbgear() {
  local stamp
  stamp=.venv/dbgear/installed-$(cksum <requirements/dbgear.lock | tr -d ' ')
  if [ -e "$stamp" ]; then return; fi
  echo "set-up: DBGear of requirements/dbgear.lock, for the tests"
  rm -rf .venv/dbgear
  { .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --ignore-requires-python \
    --target .venv/dbgear -r requirements/dbgear.lock &&
    touch "$stamp"; } >/dev/null 2>&1 || echo "set-up: could not be installed; the tests that need it will say so"
}

# moto's own tests are in its sdist and in no wheel; the hash is that of the lock. Nothing of it is built: only tests/ is unpacked.
add_moto_suite() {
  local lock=requirements/moto-suite.lock folder=.venv/moto-suite stamp
  stamp=$folder/installed-$(cksum <"$lock" | tr -d ' ')
  if [ -e "$stamp" ]; then return; fi
  echo "set-up: moto's own tests of DynamoDB, of $lock"
  { .venv/bin/python -m venv --clear "$folder" &&
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r "$lock" &&
    sed -n '/^moto\[/,/^[^ m]/p' "$lock" | sed '/^[^ m]/d' >"$folder/sdist.lock" &&
    "$folder/bin/python" -m pip download -qq --disable-pip-version-check --require-hashes --no-deps --no-build-isolation \
      --no-binary moto --dest "$folder/sdist" -r "$folder/sdist.lock" &&
    mkdir -p "$folder/suite" && tar -xzf "$folder"/sdist/moto-*.tar.gz -C "$folder/suite" --strip-components 1 --wildcards '*/tests' '*/setup.cfg' &&
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
add_mariadb
add_dbgear
add_server s3-server "S3 and DynamoDB server"
add_server ministack "second DynamoDB server"
add_moto_suite
add_cosmos_suite
exit 0
