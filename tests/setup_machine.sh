#!/usr/bin/env bash
# Adds what the tests use from the machine where that can be done quietly: Debian's PostgreSQL server, for TLS and logins that are
# not superusers. Assumes nothing and never fails: what could not be had is named by the test run itself (tests/conftest.py).
set -uo pipefail

if compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then exit 0; fi

echo "set-up: PostgreSQL server of this distribution, for the tests"
# Only the programs are wanted: without this the package makes and starts a server of its own.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
export DEBIAN_FRONTEND=noninteractive
install_it() { timeout 300 apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold postgresql; }
install_it >/dev/null 2>&1 || { timeout 120 apt-get update -qq && install_it; } >/dev/null 2>&1 ||
  echo "set-up: could not be installed; the tests that need it will say so"
exit 0
