"""How loaded a server is, and from where on that slows a walk down."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """One look at a server; ``None`` where it does not say.

    Attributes:
        busy: part of the time that its main thread was at work since the look before, 0 to 1.
        memory: used part of ``maxmemory``.
        replica_seconds: how far the slowest replica is behind.
        blocked: clients that wait in a blocking command.
        blocked_usually: how many of them there were of late.
    """

    busy: float | None = None
    memory: float | None = None
    replica_seconds: float | None = None
    blocked: int = 0
    blocked_usually: int = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """Slower from ``soft`` on, down to the floor at ``critical``, where a walk hibernates if it ``stops``."""

    of: Callable[[Load], float | None]
    soft: float
    critical: float
    say: Callable[[Load], str]
    stops: bool = True


LIMITS = (
    Limit(
        of=lambda load: load.memory,
        soft=0.85,
        critical=0.95,
        say=lambda load: f"memory, {load.memory or 0:.0%} of maxmemory (slower from 85%, none from 95% back to 90%)",
    ),
    Limit(
        of=lambda load: load.replica_seconds,
        soft=2,
        critical=10,
        say=lambda load: (
            f"a replica, {load.replica_seconds or 0:.0f} s behind (slower from 2 s, none from 10 s back to 6 s)"
        ),
    ),
    Limit(
        # Workers that wait for a job are blocked clients too: only a crowd that was not there before says something.
        of=lambda load: load.blocked - 2 * load.blocked_usually,
        soft=20,
        critical=100,
        say=lambda load: f"blocked clients, {load.blocked:,} where {load.blocked_usually:,} are usual",
        stops=False,
    ),
)


def excesses(load: Load) -> Iterator[tuple[Limit, float]]:
    """Limits that are exceeded, and how far on the way from soft to critical, up to 1."""
    for limit in LIMITS:
        value = limit.of(load)
        if value is not None and value > limit.soft:
            yield limit, min(1.0, (value - limit.soft) / (limit.critical - limit.soft))
