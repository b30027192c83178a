"""What must hold once everyone has ended: the listing, the queue, and both schemas after a repair."""

from collections import Counter
from collections.abc import Callable

from relay_jobs.migration import Migration
from tests.interleavings.copies import WORKSPACES, WRITES_BOTH, look
from tests.interleavings.ledger import status_in
from tests.interleavings.rules import RULES
from tests.interleavings.world import SETTINGS, Step, World

Ending = Callable[[World], None]


def listings_show_every_job_once(world: World) -> None:
    """A walk shows each workspace its own jobs, each once."""
    for workspace in WORKSPACES:
        shown, cursor = [], None
        while True:
            page = world.reader.list_jobs(workspace, cursor=cursor)
            shown += [job.job_id for job in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        told = {job_id for job_id in world.job_ids if world.ledger.visible(workspace, job_id)}
        assert Counter(shown) == Counter(told), f"{workspace}: lists {shown}, has {sorted(told)}"


def repair_makes_both_copies_equal(world: World) -> None:
    """After verify --repair both schemas are the same byte for byte, readers see what they saw, and verify says so."""
    if not all(world.before.stage(workspace) in WRITES_BOTH for workspace in WORKSPACES):
        return
    blocked = {job_id for job_id in world.job_ids if world.before.quarantined(job_id)}
    blocked |= {job_id for (_, job_id), copy in world.before.scoped.items() if copy.fields is None}
    touched = set(world.job_ids) - set(world.bystanders)
    if all(world.before.aligned(workspace, job_id) for workspace in WORKSPACES for job_id in touched):
        return
    verdicts = []
    for repair in (True, False):
        checking = Migration(world.main, SETTINGS, who="end", sleep=lambda _: None).verify(
            repair=repair, run="end", full_speed=True
        )
        for _ in checking:
            pass
        verdicts.append(checking.verdict)
    step = Step("end", "repair", "verify --repair", world.before, look(world.main, world.job_ids))
    for rule in RULES:
        rule(world, step)
    world.before = step.after
    for job_id in set(world.job_ids) - blocked:
        assert all(step.after.aligned(workspace, job_id) for workspace in WORKSPACES), f"{job_id} was not repaired"
    assert blocked or verdicts[1].verified, f"after a repair there is {verdicts[1]}"


def every_queued_job_is_handed_out(world: World) -> None:
    """A worker that takes all there is gets every pending job that was queued."""
    handed = set()
    while world.ledger.queued and (job := world.reader.claim("last")) is not None:
        handed.add((job.workspace_id, job.job_id))
    for job_id in world.ledger.queued - set(world.ledger.holders):
        for workspace in WORKSPACES:
            record = world.ledger.visible(workspace, job_id)
            if record and record.fields is not None and status_in(record.fields) == "pending":
                assert (workspace, job_id) in handed, f"{job_id} is pending and nobody gets it"


ENDINGS: tuple[Ending, ...] = (
    listings_show_every_job_once,
    repair_makes_both_copies_equal,
    every_queued_job_is_handed_out,
)
