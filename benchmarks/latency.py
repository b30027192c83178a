"""Latencies of phases, compared: percentiles, what a rise may be, and the best setting at a latency."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any

from benchmarks.tenants import KINDS, Request

Span = tuple[float, float]
Row = Mapping[str, Any]

_SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
ALLOWED_RISE_MS = 1.0
ALLOWED_TIMES = 2.0
# One p99 that is within a tenth of another is no worse.
_SAME_LATENCY = 1.1


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: Iterable[float]) -> dict[str, float]:
    """Number, percentiles and maximum; nothing but the number where there is none."""
    ordered = sorted(seconds)
    if not ordered:
        return {"requests": 0}
    shares = {name: round(percentile(ordered, share) * 1000, 3) for name, share in _SHARES.items()}
    return {"requests": len(ordered), **shares, "max": round(ordered[-1] * 1000, 3)}


def felt(requests: Iterable[Request], *spans: Span) -> dict[str, dict[str, float]]:
    """What each kind has felt within the spans: from when a request was due, and from when it was sent."""
    within = [one for one in requests if any(begin <= one.due < end for begin, end in spans)]
    found: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        own = [one for one in within if one.kind == kind]
        found[kind] = milliseconds(one.answered - one.due for one in own)
        if own:
            found[kind]["p99_from_sent"] = milliseconds(one.answered - one.sent for one in own)["p99"]
    return found


def rises(quiet: Mapping[str, Row], busy: Mapping[str, Row]) -> dict[str, dict[str, Any]]:
    """How far the p99 of each kind has risen, and whether that is what it may: 1 ms, or twice, whichever is more."""
    found: dict[str, dict[str, Any]] = {}
    for kind in quiet:
        before, now = quiet[kind].get("p99"), busy[kind].get("p99")
        if before is None or now is None:
            continue
        allowed = max(before + ALLOWED_RISE_MS, before * ALLOWED_TIMES)
        found[kind] = {
            "rise_ms": round(now - before, 3),
            "times": round(now / before, 2),
            "allowed_p99": round(allowed, 3),
            "within": now <= allowed,
        }
    return found


def best_at(rows: Iterable[Row], p99: float) -> Row | None:
    """The fastest of those whose tenants feel no more than that, within what a measurement varies by."""
    fine = [row for row in rows if row["p99"] <= p99 * _SAME_LATENCY]
    return max(fine, key=lambda row: float(row["per_second"]), default=None)
