#!/usr/bin/env bash
# Removes what make targets made. The demo's server goes first: its programs live in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -f demo/project.yaml ]; then
  if [ -x .venv/bin/manor ]; then .venv/bin/manor --project demo server destroy --confirm; fi
  rm -rf demo
fi
rm -rf .venv dist build htmlcov .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
rm -f .coverage .coverage.*
find src tests benchmarks docs examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
