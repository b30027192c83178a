"""What a database holds, judged by the contract's words alone: nothing here is taken from the package under test."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

LEGACY, SCOPED = b"ai:jobs:", b"ai:job:"
STAGES = ("legacy", "dual_write", "new_first", "new_only", "sealed")
READS = {"legacy": "L", "dual_write": "L", "new_first": "WL", "new_only": "W", "sealed": "W"}
WRITES = {"legacy": "L", "dual_write": "LW", "new_first": "LW", "new_only": "LW", "sealed": "W"}

_WORKSPACE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SCOPED_NAME = re.compile(rb"ai:job:([A-Za-z0-9][A-Za-z0-9_-]{0,63}):(.+)", re.DOTALL)


@dataclass(frozen=True)
class Kept:
    """One key: its type, its value (a mapping for a hash), its absolute expiry in milliseconds or -1."""

    kind: str
    value: Any
    expires: int


Data = Mapping[bytes, Kept]
Name = tuple[str, str]  # workspace and job id


def legacy_key(job_id: str) -> bytes:
    """Key of the legacy copy."""
    return LEGACY + job_id.encode()


def scoped_key(workspace: str, job_id: str) -> bytes:
    """Key of the workspace copy."""
    return SCOPED + workspace.encode() + b":" + job_id.encode()


def name_of(key: bytes) -> Name | None:
    """Workspace and id in the name of a workspace copy."""
    match = _SCOPED_NAME.fullmatch(key)
    return (match[1].decode(), match[2].decode()) if match else None


def owner(data: Data, job_id: str) -> str | None:
    """Whose job a legacy key holds, if it holds a valid one."""
    return None if fault(data, job_id) else data[legacy_key(job_id)].value[b"workspace_id"].decode()


def fault(data: Data, job_id: str) -> str:
    """Why a legacy key holds no valid job, '' if it does; 'absent' without the key."""
    kept = data.get(legacy_key(job_id))
    if kept is None:
        return "absent"
    if kept.kind != "hash":
        return "wrong_type"
    workspace = kept.value.get(b"workspace_id", b"")
    if not workspace:
        return "no_workspace"
    if not _WORKSPACE.fullmatch(workspace):
        return "bad_workspace"
    return "" if kept.value.get(b"job_id", job_id.encode()) == job_id.encode() else "id_mismatch"


def claimed_workspace(data: Data, job_id: str) -> str | None:
    """The workspace that a legacy hash names, valid or not."""
    kept = data.get(legacy_key(job_id))
    said = kept.value.get(b"workspace_id", b"") if kept and kept.kind == "hash" else b""
    return said.decode() if _WORKSPACE.fullmatch(said) else None


def copy_state(data: Data, workspace: str, job_id: str) -> str:
    """What stands under a workspace copy's name: absent, whole, partial (a hash that is no copy), other."""
    kept = data.get(scoped_key(workspace, job_id))
    if kept is None:
        return "absent"
    if kept.kind != "hash":
        return "other"
    right = kept.value.get(b"workspace_id") == workspace.encode()
    return "whole" if right and kept.value.get(b"job_id", job_id.encode()) == job_id.encode() else "partial"


def view(data: Data, stage: str, name: Name) -> Kept | None:
    """The job as a stage reads it."""
    workspace, job_id = name
    for side in READS[stage]:
        if side == "L" and owner(data, job_id) == workspace:
            return data[legacy_key(job_id)]
        if side == "W" and copy_state(data, workspace, job_id) == "whole":
            return data[scoped_key(workspace, job_id)]
    return None


def listed(data: Data, name: Name, kept: Kept) -> bool:
    """Whether a job is in its workspace's index, at its place."""
    entries = data.get(b"ai:index:" + name[0].encode())
    at = datetime.fromisoformat(kept.value[b"enqueued_at"].decode())
    micros = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return entries is not None and entries.value.get(name[1].encode()) == micros


def legacy_ids(data: Data) -> list[str]:
    """Ids of everything under the legacy prefix."""
    return [key.removeprefix(LEGACY).decode() for key in data if key.startswith(LEGACY)]


def parity(data: Data, workspace: str, job_id: str) -> str:
    """What a valid legacy job's copy is to it: missing, equal or different."""
    if copy_state(data, workspace, job_id) != "whole":
        return "missing"
    same = data[legacy_key(job_id)] == data[scoped_key(workspace, job_id)]
    return "equal" if same else "different"


@dataclass(frozen=True)
class Truth:
    """What a verification of a scope has to say."""

    counts: Counter[str]
    findings: dict[Name, str]

    def of(self, finding: str) -> set[Name]:
        """The jobs of which this was found."""
        return {name for name, found in self.findings.items() if found == finding}


def truth(data: Data, scope: tuple[str, ...], stages: Mapping[str, str]) -> Truth:
    """Both schemas compared."""
    counts: Counter[str] = Counter()
    findings: dict[Name, str] = {}
    for job_id in legacy_ids(data):
        workspace, why = claimed_workspace(data, job_id), fault(data, job_id)
        if scope and workspace not in scope:
            continue
        if why:
            counts["quarantined"] += 1
        elif not scope and stage_of(stages, str(workspace)) == "legacy":
            counts["filtered"] += 1
        else:
            findings[str(workspace), job_id] = found = parity(data, str(workspace), job_id)
            legacy = data[legacy_key(job_id)]
            counts["unindexed"] += found == "equal" and not listed(data, (str(workspace), job_id), legacy)
    for key in data:
        name = name_of(key)
        if name is None or (scope and name[0] not in scope) or owner(data, name[1]) == name[0]:
            counts["third_generation"] += (
                name is None and not key.startswith(LEGACY) and key.startswith(SCOPED) and not scope
            )
        elif scope or stage_of(stages, name[0]) != "legacy":
            _judge_extra(data, name, stage_of(stages, name[0]), counts, findings)
    counts.update(findings.values())
    return Truth(counts, findings)


def _judge_extra(data: Data, name: Name, stage: str, counts: Counter[str], findings: dict[Name, str]) -> None:
    state = copy_state(data, *name)
    if state == "whole" and stage != "sealed":
        findings[name] = "extra"
    elif state == "whole":
        counts["unindexed"] += not listed(data, name, data[scoped_key(*name)])
    elif state == "other" and data[scoped_key(*name)].kind == "string":
        counts["third_generation"] += 1
    elif state in {"other", "partial"}:
        counts["malformed"] += 1


def outcomes(data: Data, scope: tuple[str, ...], stages: Mapping[str, str]) -> dict[str, str]:
    """What a pass over this very database makes of each legacy key."""
    return {job_id: _outcome(data, scope, stages, job_id) for job_id in legacy_ids(data)}


def _outcome(data: Data, scope: tuple[str, ...], stages: Mapping[str, str], job_id: str) -> str:
    workspace = claimed_workspace(data, job_id)
    if scope and workspace not in scope:
        return "filtered"
    if fault(data, job_id):
        return "invalid"
    if stage_of(stages, str(workspace)) == "legacy":
        return "filtered"
    state = copy_state(data, str(workspace), job_id)
    if state in {"absent", "partial"}:
        return "migrated"
    if state == "other":
        return "conflict"
    return "exists" if parity(data, str(workspace), job_id) == "equal" else "conflict"


def stage_of(stages: Mapping[str, str], workspace: str) -> str:
    """The stage in force for a workspace."""
    return stages.get(workspace) or stages["*"]
