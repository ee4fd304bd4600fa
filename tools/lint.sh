#!/usr/bin/env bash
# Style, types and the direction of imports, of the sources as they stand. Assumes a .venv with requirements/test.lock.
set -euo pipefail
cd "$(dirname "$0")/.."

folders=()
for folder in src tests benchmarks docs examples; do
  if [ -d "$folder" ]; then folders+=("$folder"); fi
done
.venv/bin/python -m ruff check --quiet "${folders[@]}"
.venv/bin/python -m ruff format --check --quiet "${folders[@]}" ||
  { echo "lint: not formatted; .venv/bin/ruff format ${folders[*]} does it" >&2; exit 1; }
.venv/bin/python -m mypy --no-error-summary
report=$(PYTHONPATH=src .venv/bin/lint-imports --no-cache 2>&1) || { echo "$report" >&2; exit 1; }
echo "lint: clean"
