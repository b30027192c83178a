"""Terms of a run: the bounds of what may be asked for, and what is taken where nothing is."""

from collections.abc import Sequence
from typing import Literal

from relay_jobs.errors import UsageError
from relay_jobs.jobs import parse_workspace

Batch = int | Literal["auto"]

DEFAULT_RPS = 1000
NUMBER_MAX = 10**9
BATCH_MAX = 10_000
_BATCH, _BATCH_FULL_SPEED = 100, 500


def parse_scope(workspaces: Sequence[str]) -> tuple[str, ...]:
    """Workspaces in order, each once; :exc:`InvalidWorkspace` for one that is malformed."""
    return tuple(sorted({parse_workspace(workspace) for workspace in workspaces}))


def positive(name: str, value: int | None) -> int | None:
    """The number, ``None`` for no limit; :exc:`UsageError` unless it is whole and from 1."""
    if value is not None and (isinstance(value, bool) or not 1 <= value <= NUMBER_MAX or value != int(value)):
        msg = f"invalid {name} {value!r}: allowed is a whole number from 1 to {NUMBER_MAX}"
        raise UsageError(msg)
    return value


def parse_batch(batch: Batch, rps: int | None) -> int:
    """Keys of one SCAN step; without a rate limit nobody else uses the server, and they are more."""
    if batch == "auto":
        return _BATCH_FULL_SPEED if rps is None else _BATCH
    if type(batch) is not int or not 1 <= batch <= BATCH_MAX:
        msg = f"invalid batch {batch!r}: allowed is 'auto' or a whole number from 1 to {BATCH_MAX}"
        raise UsageError(msg)
    return batch
