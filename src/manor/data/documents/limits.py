"""The numbers that bound a request, the same on every backend. Most are DynamoDB's (Developer Guide, Quotas)."""

from __future__ import annotations

ITEM_BYTES = 400 * 1024
PARTITION_KEY_BYTES = 2048
SORT_KEY_BYTES = 1024
NESTING = 32
"""How deep lists and maps may stand in each other."""

NUMBER_DIGITS = 38
NUMBER_MAX_EXPONENT = 125
NUMBER_MIN_EXPONENT = -130

EXPRESSION_BYTES = 4096
EXPRESSION_OPERATORS = 300
EXPRESSION_NESTING = 64
"""How deep parentheses and functions may stand in each other; ours, so that every driver can compile it."""
IN_OPERANDS = 100
PATH_ELEMENTS = 32

BATCH_WRITE = 25
BATCH_GET = 100
TRANSACTION_ITEMS = 100
TRANSACTION_BYTES = 4 * 1024 * 1024
TOKEN_CHARACTERS = 36
TENANT_BYTES = 255

PAGE_ITEMS = 1000
"""Items of a page whose limit the caller left out."""
PAGE_BYTES = 1024 * 1024
"""Where a driver may end a page early."""
MOST_ITEMS = 10**9
"""Of ``limit`` and ``examine``: what is asked beyond that is as good as all there are, and no backend counts further."""
