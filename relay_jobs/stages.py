"""The ladder: five stages instead of three booleans, what each writes and reads, and its moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Stage of a workspace, lowest first."""

    LEGACY = "legacy"
    DUAL_WRITE = "dual_write"
    NEW_FIRST = "new_first"
    NEW_ONLY = "new_only"
    SEALED = "sealed"

    @property
    def rung(self) -> int:
        """Place on the ladder, 0 for the lowest."""
        return tuple(Stage).index(self)


class Side(StrEnum):
    """One of the two schemas."""

    LEGACY = "legacy"
    WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a stage writes, and what it reads in order of preference."""

    writes: tuple[Side, ...]
    reads: tuple[Side, ...]


_BOTH = (Side.LEGACY, Side.WORKSPACE)

RULES: Mapping[Stage, Rule] = {
    Stage.LEGACY: Rule(writes=(Side.LEGACY,), reads=(Side.LEGACY,)),
    Stage.DUAL_WRITE: Rule(writes=_BOTH, reads=(Side.LEGACY,)),
    Stage.NEW_FIRST: Rule(writes=_BOTH, reads=(Side.WORKSPACE, Side.LEGACY)),
    Stage.NEW_ONLY: Rule(writes=_BOTH, reads=(Side.WORKSPACE,)),
    Stage.SEALED: Rule(writes=(Side.WORKSPACE,), reads=(Side.WORKSPACE,)),
}

# The lowest rung that both schemas are written in: where a rollback ends.
ROLLBACK_TARGET = Stage.DUAL_WRITE


def rungs_between(start: Stage, end: Stage) -> tuple[Stage, ...]:
    """The stages passed on the way from ``start`` to ``end``, without ``start``, in order."""
    ladder = tuple(Stage)
    if end.rung >= start.rung:
        return ladder[start.rung + 1 : end.rung + 1]
    return tuple(reversed(ladder[end.rung : start.rung]))


@dataclass(frozen=True, slots=True)
class Flags:
    """The changelog's environment flags, all on by default."""

    new_schema: bool = True
    read_prefers_new: bool = True
    read_fallback_old: bool = True
    legacy_writes: bool = True


NEW_SCHEMA, READ_PREFERS_NEW = "AI_JOBS_NEW_SCHEMA", "READ_PREFERS_NEW"
READ_FALLBACK_OLD, LEGACY_WRITES = "READ_FALLBACK_OLD", "AI_JOBS_LEGACY_WRITES"


def stage_from_flags(flags: Flags) -> Stage | None:
    """The stage that the flags mean, or ``None`` where they contradict each other."""
    if not flags.legacy_writes:
        whole = flags.new_schema and flags.read_prefers_new and not flags.read_fallback_old
        return Stage.SEALED if whole else None
    if not flags.new_schema:
        return Stage.LEGACY
    if not flags.read_prefers_new:
        return Stage.DUAL_WRITE
    return Stage.NEW_FIRST if flags.read_fallback_old else Stage.NEW_ONLY


def flag_conflicts(flags: Flags, stage: Stage) -> tuple[str, ...]:
    """Names of the flags that narrow what ``stage`` needs, so that a process must not start beside it."""
    conflicts = []
    if not flags.new_schema and stage is not Stage.LEGACY:
        conflicts.append(NEW_SCHEMA)
    if not flags.legacy_writes and stage is not Stage.SEALED:
        conflicts.append(LEGACY_WRITES)
    if not flags.read_fallback_old and stage.rung < Stage.NEW_ONLY.rung:
        conflicts.append(READ_FALLBACK_OLD)
    if not flags.read_prefers_new and stage is Stage.SEALED:
        conflicts.append(READ_PREFERS_NEW)
    return tuple(conflicts)
