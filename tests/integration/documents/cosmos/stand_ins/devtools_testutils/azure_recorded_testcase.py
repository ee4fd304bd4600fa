"""Credentials: the key of the environment, in place of a login."""

import os
from typing import Any


def get_credential(**_options: Any) -> str:
    """See the package."""
    return os.environ["ACCOUNT_KEY"]
