"""Releases: migrations as values, their order and history, what each tenant needs. Pure, but for ``folder``."""
