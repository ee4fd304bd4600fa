"""Backups of tenants: taken, found, verified, removed."""
