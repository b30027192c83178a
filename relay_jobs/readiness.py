"""Readiness of a run: what is there, what it will cost, and every reason to refuse it before anything is written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from relay_jobs.errors import Refused, UsageError
from relay_jobs.ladder import EVERYONE, Recorded
from relay_jobs.narrate import duration, sample_text, size
from relay_jobs.preflight import Survey
from relay_jobs.scanning import PARTITIONS_MAX
from relay_jobs.servers import Server
from relay_jobs.stages import Stage

MODES = ("staged", "dry_run", "canary", "full")

# About what a verification compares and a walk examines a second beside quiet tenants, on a two-core machine; beside
# busy ones it is less.
_VERIFIED_PER_SECOND = _KEYS_PER_SECOND = 10_000
# How many slots the pool is imported with; a task cannot read it.
_SLOTS = 2
# A partition is a task: it should run for tens of seconds, not one.
_PARTITION_SECONDS = 30.0
_PARTITION_KEYS = 2_000
_PARTITIONS_LEAST = 4
_SMALLEST = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is asked to do; ``partitions`` is ``None`` for as many as fit."""

    mode: str
    workspaces: tuple[str, ...] = ()
    canary_workspaces: tuple[str, ...] = ()
    max_keys: int | None = None
    rps: int | None = None
    rps_per_slot: int | None = None
    partitions: int | None = None
    max_hours: float = 24.0

    @property
    def writes(self) -> bool:
        """Whether any step of it writes."""
        return self.mode != "dry_run"


@dataclass(frozen=True, slots=True)
class Preflight:
    """Result of a preflight.

    Attributes:
        target: host, port, database and server process.
        survey: what the server holds.
        stages: recorded stages by workspace, ``*`` for all others.
        walks: how often the run walks the keyspace.
        predicted_seconds: how long it will take, without waiting for a person.
        predicted_full_seconds: of these, the full backfill and its verification.
        predicted_bytes: memory of the second copies.
        partitions: into how many the full backfill is divided.
        warnings: what an operator should know.
    """

    target: str
    survey: Survey
    stages: Mapping[str, str]
    walks: int
    predicted_seconds: float
    predicted_full_seconds: float
    predicted_bytes: int
    partitions: int
    warnings: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """The report as a person reads it."""
        found = self.survey
        yield f"target: {self.target}"
        yield f"legacy jobs: {sum(found.legacy.values()):,} in {len(found.legacy)} workspaces"
        for name, count in sorted(found.legacy.items(), key=lambda item: -item[1])[:20]:
            stage = self.stages.get(name) or self.stages.get(EVERYONE) or "not recorded"
            copied = found.copies.get(name, 0)
            yield f"  {name:<36} {count:>12,} legacy {copied:>12,} with a workspace copy   stage {stage}"
        if len(found.legacy) > 20:
            yield f"  and {len(found.legacy) - 20} smaller ones"
        for reason, count in sorted(found.invalid.items()):
            yield f"invalid: {count:,} {reason}"
        yield from (f"  {sample_text(sample)}" for sample in found.samples)
        if found.partial:
            count = sum(found.partial.values())
            yield f"partial hashes under workspace names: {count:,}, replaced where a valid legacy job exists"
        if found.other_type:
            yield f"keys of another type under workspace names: {found.other_type:,}, left alone"
        if found.third_generation:
            yield f"third generation (ai:job:<id>): {found.third_generation:,}, not touched"
        yield f"memory for the second copies: {size(self.predicted_bytes)}"
        yield f"predicted: {self.walks} walks, {duration(self.predicted_seconds)}, {self.partitions} partitions"

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        found = self.survey
        return {
            "target": self.target,
            "legacy": dict(found.legacy),
            "workspace": dict(found.copies),
            "partial": dict(found.partial),
            "invalid": dict(found.invalid),
            "samples": [
                {"job_id": s.job_id.encode("utf-8", "backslashreplace").decode(), "reason": s.reason}
                for s in found.samples
            ],
            "other_type": found.other_type,
            "third_generation": found.third_generation,
            "stages": dict(self.stages),
            "smallest": found.smallest(_SMALLEST),
            "walks": self.walks,
            "predicted_seconds": round(self.predicted_seconds, 1),
            "predicted_full_seconds": round(self.predicted_full_seconds, 1),
            "predicted_bytes": self.predicted_bytes,
            "partitions": self.partitions,
            "warnings": list(self.warnings),
        }


def examine(plan: Plan, found: Survey, recorded: Recorded, server: Server) -> Preflight:
    """Judge a plan by what the server holds.

    Raises:
        Refused: every reason against it.
        UsageError: a mode that does not exist.
    """
    if plan.mode not in MODES:
        msg = f"invalid mode {plan.mode!r:.40}: allowed are {', '.join(MODES)}"
        raise UsageError(msg)
    walks, seconds = cost(plan, found)
    reasons = [*_missing_canary(plan, found), *_unrecorded(plan, recorded), *(server.unwritable if plan.writes else ())]
    if seconds > plan.max_hours * 3600:
        reasons.append(
            f"{walks} walks over {found.legacy_keys:,} keys are predicted to take {duration(seconds)}, more than "
            f"max_hours = {plan.max_hours:g}: raise rps or max_hours"
        )
    if reasons:
        raise Refused(f"this run in mode {plan.mode} is refused; nothing was written", reasons)
    return Preflight(
        target=server.target,
        survey=found,
        stages={scope: str(stage) for scope, stage in sorted(recorded.stages.items())},
        walks=walks,
        predicted_seconds=seconds,
        predicted_full_seconds=cost(replace(plan, mode="full"), found)[1],
        predicted_bytes=found.bytes_needed(plan.workspaces),
        partitions=plan.partitions or _partitions(plan, found),
        warnings=(*server.unwritable, *_warnings(plan, found, recorded)),
    )


def _missing_canary(plan: Plan, found: Survey) -> Iterator[str]:
    if plan.mode in {"staged", "canary"} and not set(plan.canary_workspaces) & set(found.legacy):
        names = ", ".join(found.smallest(_SMALLEST)) or "none: the server holds no valid legacy job"
        given = ", ".join(plan.canary_workspaces)
        why = f", and none of those given has a legacy job ({given})" if given else ""
        yield f"mode {plan.mode} needs canary_workspaces{why}; the smallest are: {names}"


def _unrecorded(plan: Plan, recorded: Recorded) -> Iterator[str]:
    if not plan.writes:
        return
    touched = {"staged": plan.workspaces + plan.canary_workspaces, "canary": plan.canary_workspaces}
    scope = touched.get(plan.mode, plan.workspaces)
    if not recorded.covers(scope) or (plan.mode in {"staged", "full"} and not recorded.covers(plan.workspaces)):
        yield "no stage is recorded: 'relay-jobs stage set legacy', then 'relay-jobs stage set dual_write'"
        return
    legacy = sorted({name for name in scope if recorded.of(name) is Stage.LEGACY})
    if not plan.workspaces and recorded.all_legacy:
        legacy = ["every workspace"]
    if legacy:
        yield f"in stage legacy nothing may be copied: {', '.join(legacy)}: 'relay-jobs stage set dual_write'"


def _warnings(plan: Plan, found: Survey, recorded: Recorded) -> Iterator[str]:
    if found.invalid:
        yield f"{sum(found.invalid.values()):,} legacy records cannot be moved; they are quarantined and stay"
    for name in sorted({*plan.workspaces, *plan.canary_workspaces} - set(found.legacy)):
        yield f"workspace {name} has no legacy job"
    left = sorted(name for name, stage in recorded.stages.items() if stage is Stage.LEGACY)
    names = ["every workspace without a stage of its own" if name == EVERYONE else name for name in left]
    if left and plan.writes and not plan.workspaces:
        yield f"left out, in stage legacy: {', '.join(names)}"


def cost(plan: Plan, found: Survey) -> tuple[int, float]:
    """Walks and seconds: one step is one walk of the keyspace, whatever the number of workspaces."""
    steps = {"staged": 3, "dry_run": 1, "canary": 1, "full": 1}[plan.mode]
    checks = {"staged": 2, "dry_run": 0, "canary": 1, "full": 1}[plan.mode]
    keys, top = found.legacy_keys, plan.rps or _KEYS_PER_SECOND
    # The dry run holds no slot, the canary is one task, the full backfill has as many as the pool has slots.
    alone, together = (min(top, (plan.rps_per_slot or top) * slots) for slots in (1, _SLOTS))
    planned = canary = 0.0
    if plan.mode in {"staged", "dry_run"}:
        planned = _walked(plan, keys, plan.workspaces) / top
    if plan.mode in {"staged", "canary"}:
        canary = _walked(plan, keys, plan.canary_workspaces) / alone
    full = keys / together if plan.mode in {"staged", "full"} else 0
    return steps + checks, planned + canary + full + checks * 2 * keys / _VERIFIED_PER_SECOND


def _walked(plan: Plan, keys: int, scope: tuple[str, ...]) -> int:
    """Keys that a walk may examine: ``max_keys`` counts those of its scope only, which may come last."""
    return keys if scope else min(keys, plan.max_keys or keys)


def _partitions(plan: Plan, found: Survey) -> int:
    """A power of two: tasks of tens of seconds, but none so small that its seams outweigh it."""
    rate = plan.rps_per_slot or plan.rps or _KEYS_PER_SECOND
    wanted = max(_PARTITIONS_LEAST, found.legacy_keys / rate / _PARTITION_SECONDS)
    partitions = 1
    while partitions < min(wanted, found.legacy_keys / _PARTITION_KEYS, PARTITIONS_MAX):
        partitions *= 2
    return partitions
