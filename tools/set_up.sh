#!/usr/bin/env bash
# Makes .venv ready for one job: tools/set_up.sh run|test|bench
#
# Assumes nothing but a Python >= 3.11 with venv, and a package registry that pip can reach. Each part is done once: stamps in .venv
# carry a checksum of what the part depends on (where the folder stands, the lock, the sources), so a second run takes no time and a
# changed lock, a changed source or a moved folder is noticed. The wheel is installed, not the sources: what is tried is what is shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

fail() {
  echo "manor set-up: $1" >&2
  exit 2
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

choose_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
    if new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  fail "Manor needs Python 3.11 or newer, found: $(python3 --version 2>&1 || true). Install one, or name it: make PYTHON=/path/to/python3"
}

checksum() { cksum | tr -d ' '; }

# Scripts in .venv/bin name the folder they were made in, so a moved or copied .venv is made anew.
venv_is_ours() {
  [ -x .venv/bin/python ] && new_enough .venv/bin/python || return 1
  case "$(.venv/bin/pip --version 2>/dev/null)" in *"from $(pwd -P)/.venv/"* | *"from $PWD/.venv/"*) return 0 ;; *) return 1 ;; esac
}

make_venv() {
  venv_is_ours && return
  local python
  python=$(choose_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"
  echo "set-up: .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
}

install_lock() {
  local stamp
  stamp=.venv/installed-$job-$(checksum <"requirements/$job.lock")
  [ -e "$stamp" ] && return
  echo "set-up: packages of requirements/$job.lock"
  .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r "requirements/$job.lock"
  rm -f .venv/installed-"$job"-*
  touch "$stamp"
}

install_wheel() {
  local stamp
  stamp=.venv/wheel-$(find src pyproject.toml README.md LICENSE NOTICE -type f ! -name '*.pyc' -exec cksum {} + | LC_ALL=C sort | checksum)
  [ -e "$stamp" ] && return
  echo "set-up: wheel of Manor"
  rm -rf dist
  .venv/bin/python -m pip wheel -qq --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist .
  .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-index --force-reinstall dist/manor-*.whl
  rm -f .venv/wheel-*
  touch "$stamp"
}

job=${1:?which job: run, test or bench}
make_venv
install_lock
install_wheel
