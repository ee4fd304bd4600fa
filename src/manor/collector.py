"""Python's cyclic garbage collector, told to wait.

It walks over all that is alive each time many objects were made. Where a step makes hundreds of thousands that all stay (a
parsed file, a registry's targets, a catalog's records), that takes longer than the step itself and finds nothing.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused_collector() -> Iterator[None]:
    """No collection inside; may be nested. It holds for the whole process, so nothing may await for long inside."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            _let_age()
            gc.enable()


def _let_age() -> None:
    """Put what was made into the oldest generation, unwalked: as the youngest it would be walked over at once."""
    if gc.get_freeze_count() == 0:  # otherwise a server that froze its start-up would lose that
        gc.freeze()
        gc.unfreeze()
