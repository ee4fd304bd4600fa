"""Tenants in a CSV file or a worksheet: which encoding, which columns, which values, and what changed since.

``encoding`` and ``header`` find out what a file leaves unsaid, ``tables`` gives rows of text, ``careful`` is what a row means,
``batch`` the quick way to the same, ``provider`` the source, ``watch`` its changes.
"""

from manor.control.registry.sheets.provider import CSVTenantProvider, open_csv

__all__ = ["CSVTenantProvider", "open_csv"]
