"""Measurements of Manor against ceilings, floors and peers; ``python -m benchmarks`` runs them and writes RESULTS.md."""
