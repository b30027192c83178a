"""Live control of running work: pause, resume and rate, with who, why and since when."""

from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from relay_jobs import keys
from relay_jobs.errors import Refused
from relay_jobs.jobs import decode_id
from relay_jobs.scripting import Script
from relay_jobs.servers import read_hash

_SET = Script("set_control")


@dataclass(frozen=True, slots=True)
class Control:
    """What holds running work back."""

    paused: bool
    who: str
    why: str
    since: str
    run: str | None
    rps: int | None
    held_by: str


def control(client: "redis.Redis") -> Control:
    """The state of the controls, the run that holds the lease, and its rate."""
    raw = read_hash(client, keys.CONTROL)
    run = read_hash(client, keys.LEASE).get(b"holder")
    record = {} if run is None else read_hash(client, keys.run(decode_id(run)))
    rate = record.get(b"rps")
    return Control(
        paused=raw.get(b"paused") == b"1",
        who=raw.get(b"who", b"").decode(),
        why=raw.get(b"why", b"").decode(),
        since=raw.get(b"since", b"").decode(),
        run=None if run is None else decode_id(run),
        rps=None if rate is None else int(rate),
        held_by=record.get(b"held_by", b"").decode(),
    )


def pause(client: "redis.Redis", who: str, why: str) -> None:
    """Running and later work rests before its next batch, until it is resumed."""
    _set(client, {"paused": "1", "who": who, "why": why, "since": _now()})


def resume(client: "redis.Redis", who: str) -> None:
    """Paused work goes on."""
    _set(client, {"paused": "0", "who": who, "why": "", "since": _now()})


def throttle(client: "redis.Redis", rps: int) -> str:
    """Set the rate of the run that holds the lease; its name.

    Raises:
        Refused: nothing is running.
    """
    run = read_hash(client, keys.LEASE).get(b"holder")
    if run is None:
        what = "nothing is running whose rate could be changed"
        raise Refused(what, ["give --rps to the next 'relay-jobs backfill', or rps in the DAG's run config"])
    client.hset(keys.run(decode_id(run)), "rps", str(rps))
    return decode_id(run)


def _set(client: "redis.Redis", values: dict[str, str]) -> None:
    _SET(client, (keys.CONTROL,), *(part for pair in values.items() for part in pair))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
