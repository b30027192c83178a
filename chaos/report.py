"""The table at the end of a run."""

from __future__ import annotations

from collections import Counter

from chaos.conductor import Conductor
from chaos.judgement import CHANGES, Notes, lost_by_servers
from chaos.schedule import KINDS

_SHOWN = 30


def report(conductor: Conductor, notes: Notes) -> int:
    """Print what happened and what is wrong; the exit code."""
    print("\nevents       " + ", ".join(f"{kind} {conductor.happened[kind]}" for kind in KINDS))
    killed = sum(count - 1 for name, count in conductor.traffic.started.items())
    print(
        f"processes    {sum(conductor.traffic.started.values())} of the traffic, {killed} of them successors; "
        f"{conductor.commands.counts.total()} commands"
    )
    print("operator     " + ", ".join(f"{what} {count}" for what, count in sorted(conductor.operator.counts.items())))
    calls = Counter(op.kind for op in notes.ops)
    doubt = Counter(op.kind for op in notes.ops if op.in_doubt)
    print("calls        " + ", ".join(f"{kind} {count}" for kind, count in calls.most_common()))
    print("in doubt     " + (", ".join(f"{kind} {count}" for kind, count in doubt.most_common()) or "none"))
    changes = sum(op.kind in CHANGES and not op.in_doubt for op in notes.ops)
    print(
        f"lost by the server  {lost_by_servers(notes)} of {changes} acknowledged changes, "
        f"in {len(notes.recoveries)} recoveries"
    )
    print(
        f"judged       {len(notes.by_job):,} jobs ({conductor.seeded:,} seeded), "
        f"{sum(map(len, notes.by_job.values())):,} notes about them"
    )
    for fault in conductor.faults[:_SHOWN]:
        print(f"  {fault.kind}: {fault.job_id!r}: {fault.reason}"[:600])
    if len(conductor.faults) > _SHOWN:
        print(f"  and {len(conductor.faults) - _SHOWN} more")
    kinds = Counter(fault.kind for fault in conductor.faults)
    print("verdict      " + (", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "everything agrees"))
    return 1 if conductor.faults else 0
