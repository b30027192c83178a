"""Terms of a run or a server: the bounds of what may be asked for, and what is taken where nothing is."""

from collections.abc import Sequence
from typing import Literal

from relay_jobs.errors import UsageError
from relay_jobs.jobs import parse_workspace

Batch = int | Literal["auto"]

DEFAULT_THREADS = 16
NUMBER_MAX = 10**9
BATCH_MAX = 10_000


def parse_scope(workspaces: Sequence[str]) -> tuple[str, ...]:
    """Workspaces in order, each once; :exc:`InvalidWorkspace` for one that is malformed."""
    return tuple(sorted({parse_workspace(workspace) for workspace in workspaces}))


def positive(name: str, value: int | None) -> int | None:
    """The number, ``None`` for no limit; :exc:`UsageError` unless it is whole and from 1."""
    if value is not None and (isinstance(value, bool) or not 1 <= value <= NUMBER_MAX or value != int(value)):
        msg = f"invalid {name} {value!r}: allowed is a whole number from 1 to {NUMBER_MAX}"
        raise UsageError(msg)
    return value


def parse_batch(batch: Batch) -> int | None:
    """Keys of one SCAN step; ``None`` sizes the steps by time."""
    if batch == "auto":
        return None
    if type(batch) is not int or not 1 <= batch <= BATCH_MAX:
        msg = f"invalid batch {batch!r}: allowed is 'auto' or a whole number from 1 to {BATCH_MAX}"
        raise UsageError(msg)
    return batch
