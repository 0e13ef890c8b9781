"""Ends a Python process at once, though it has imported a great deal."""

import atexit
import gc


def end_at_once() -> None:
    """Leave out the search for garbage with which an interpreter ends.

    Among what MLflow or Great Expectations import it takes seconds, and the memory is freed without it.
    Files are closed and exit handlers run as ever.
    """
    atexit.register(gc.freeze)
