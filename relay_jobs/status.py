"""What an operator wants to know at a glance: stages, the run at work, its progress, and what was proven last."""

from typing import Any, cast

import redis

from relay_jobs import keys
from relay_jobs.control import Control, control
from relay_jobs.jobs import decode_id
from relay_jobs.ladder import EVERYONE, Ladder
from relay_jobs.progress import partition_fraction
from relay_jobs.servers import Server, read_hash
from relay_jobs.settings import Settings

_RUNS_SHOWN = 10


def status(client: "redis.Redis", settings: Settings, server: Server) -> dict[str, Any]:
    """Plain values, JSON-able; ids and counts only."""
    ladder = Ladder(client)
    recorded = ladder.recorded()
    held = control(client)
    return {
        "target": server.target,
        "stages": {scope: str(stage) for scope, stage in sorted(recorded.stages.items())},
        "stage_source": "recorded" if EVERYONE in recorded.stages else f"flags ({settings.flag_stage})",
        "epoch": recorded.epoch,
        "lease": {"holder": held.run, "expires_in": max(0, int(client.pttl(keys.LEASE))) / 1000} if held.run else None,
        "throttle": _throttle(held),
        "control": {"paused": held.paused, "who": held.who, "why": held.why, "since": held.since, "rps": held.rps},
        "passes": _passes(client, ladder.now()),
        "last_passes": ladder.last(keys.PASSES),
        "last_verifications": ladder.last(keys.VERIFICATIONS),
        "quarantined": int(client.hlen(keys.QUARANTINE)),
        "queue_depth": int(client.llen(keys.QUEUE)),
        "set_aside": int(client.llen(keys.SET_ASIDE)),
        "history": ladder.history(20),
    }


def _throttle(held: Control) -> str:
    """What holds running work back, '' if nothing does."""
    if held.paused:
        return f"paused by {held.who} since {held.since}: {held.why}"
    if held.run is None:
        return ""
    if held.held_by:
        return held.held_by
    if held.rps is None:
        return "no rate limit; it gives way to the tenants, unless it was begun with --full-speed"
    return f"the rate limit of all running work, {held.rps:,} keys a second"


def _passes(client: "redis.Redis", now: float) -> list[dict[str, Any]]:
    """Passes of the latest runs, newest first, each once."""
    names: dict[bytes, None] = {}
    for run in cast("list[bytes]", client.zrevrange(keys.RUNS, 0, _RUNS_SHOWN - 1)):
        for step in ("backfill", "full", "canary"):
            progress = read_hash(client, keys.run(f"{decode_id(run)}:{step}")).get(b"progress")
            if progress:
                names[progress] = None
    found = ((name, read_hash(client, name)) for name in names)
    return [_pass(name, raw, now) for name, raw in found if raw]


def _pass(name: bytes, raw: dict[bytes, bytes], now: float) -> dict[str, Any]:
    bits = int(raw[b"bits"])
    parts = 1 << bits
    fraction = sum(_fraction(raw, number, bits) for number in range(parts)) / parts
    seconds = now - int(raw[b"started_at"]) / 1000
    left = seconds * (1 - fraction) / fraction if 0 < fraction < 1 else None
    return {
        "name": decode_id(name.removeprefix(keys.progress(""))),
        "scope": raw.get(b"scope", b"").decode().split(",") if raw.get(b"scope") else [],
        "state": raw[b"state"].decode(),
        "fraction": round(fraction, 4),
        "eta_seconds": None if left is None else round(left),
        "partitions": parts,
        "walked": sum(b"done:%d" % number in raw for number in range(parts)),
        "scanned": sum(int(value) for key, value in raw.items() if key.startswith(b"scanned:")),
        "migrated": sum(int(value) for key, value in raw.items() if key.startswith(b"migrated:")),
    }


def _fraction(raw: dict[bytes, bytes], number: int, bits: int) -> float:
    cursor = raw.get(b"cursor:%d" % number)
    if b"done:%d" % number in raw or cursor == b"end":
        return 1.0
    return 0.0 if cursor is None else partition_fraction(int(cursor), number, bits)
