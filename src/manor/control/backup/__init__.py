"""Backups: what is kept, for how long, sealed for whom, and how it is found again."""
