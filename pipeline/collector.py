"""Python's cyclic garbage collector, for commands that are over in less than a second."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_rest() -> Iterator[None]:
    """Collect nothing while what lives until the end is made, and never look at it again.

    Imports, models and compiled code leave hundreds of thousands of objects and next to no garbage; collecting walks
    over all of them dozens of times, and twice more when the interpreter ends: about a sixth of a build.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
