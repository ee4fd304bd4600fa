#!/usr/bin/env bash
# Rewrites requirements/*.lock: exact versions and hashes for every platform of every supported CPython.
#
# Extras stay in the names: an older pip takes `coverage[toml]` for a package of its own, which a bare `coverage==` does not pin.
# The index is the one that pip is configured with, handed to uv through the environment, so that no host name gets into a file.
# test.lock is resolved first and binds the others: one .venv can hold all three.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONPATH

python=.venv/bin/python
"$python" -c 'import uv' 2>/dev/null || "$python" -m pip install --quiet uv
index=$("$python" -m pip config get global.index-url 2>/dev/null || true)
index=${PIP_INDEX_URL:-$index}
if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi

compile() {
  local job=$1
  shift
  "$python" -m uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade --quiet --no-strip-extras \
    --no-emit-index-url --no-annotate --custom-compile-command "make lock" --output-file "requirements/$job.lock" "$@" >/dev/null
  echo "requirements/$job.lock: $(grep -c '==' "requirements/$job.lock") packages"
}

mkdir -p requirements
compile test --group build --group test
compile run --group build --constraint requirements/test.lock
compile bench --group build --group bench --constraint requirements/test.lock

# Not for .venv: tests/setup_machine.sh says why
for server in s3-server ministack moto-suite cosmos-suite; do
  "$python" -m uv pip compile --group "$server" --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
    --no-strip-extras --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
    --output-file "requirements/$server.lock" >/dev/null
done
"$python" -m uv pip compile --group dbgear --no-deps --universal --python-version 3.12 --generate-hashes --upgrade --quiet \
  --no-emit-index-url --no-annotate --custom-compile-command "make lock" --output-file requirements/dbgear.lock >/dev/null
