"""Safeguards of the ladder: the gates, the moves, and what their proofs stand on."""

from tests.safeguards.edits import Edit
from tests.safeguards.safeguard import Safeguard, guard, lua


def _gates(name: str, promise: str, without: str, old: str, new: str) -> Safeguard:
    return guard(name, promise, without, Edit("gates.py", old, new))


GATES = (
    _gates(
        "new_first needs the operator's statement",
        "2",
        "reads prefer copies that a process without the library does not write",
        "    if facts.statement_at is None:\n",
        "    if False:\n",
    ),
    _gates(
        "new_first needs a verification begun after the statement",
        "2",
        "a write of an old process after the comparison goes unseen",
        "_when(proof.started_at < stated_at,",
        "_when(False,",
    ),
    _gates(
        "new_first needs a verification in dual_write",
        "2",
        "a verification stands for a stage in which it was not made",
        "                proof.stage != Stage.DUAL_WRITE,\n",
        "                False,\n",
    ),
    _gates(
        "new_first needs a verification of this epoch",
        "2",
        "copies that missed updates in legacy are preferred",
        '*_when(proof.epoch != facts.epoch, f"the verification is of an earlier dual-write epoch: {verify}"),',
        "",
    ),
    _gates(
        "new_first needs a verification of this server process",
        "2",
        "what a repair had mended, and the server has lost since, counts as mended",
        '                proof.server != facts.server,\n                f"the verification was made',
        '                False,\n                f"the verification was made',
    ),
    _gates(
        "new_only needs a verification that no old process has outdated",
        "2",
        "a job that an old process made behind the walk vanishes",
        'what == "verification" and _overtaken(proof, facts),',
        "False,",
    ),
    _gates(
        "new_only needs a verification begun after the last rollback",
        "2",
        "a job that an old process made after a rollback vanishes",
        "proof.stage in {Stage.NEW_FIRST, Stage.NEW_ONLY} and proof.started_at >= facts.withdrawn_at",
        "proof.stage in {Stage.NEW_FIRST, Stage.NEW_ONLY}",
    ),
    _gates(
        "new_only needs a complete pass",
        "2",
        "jobs without a copy vanish",
        '    reasons = _best(\n        facts.passes,\n        f"no complete pass is recorded: {backfill}",\n'
        '        lambda proof: _stale("pass", proof, facts, backfill),\n    )\n',
        "    reasons: tuple[str, ...] = ()\n",
    ),
    _gates(
        "new_only needs a verification that found nothing",
        "2",
        "jobs without a copy vanish",
        '_verified(facts, _CLEAN, verify, lambda proof: _stale("verification", proof, facts, verify))',
        '_verified(facts, (), verify, lambda proof: _stale("verification", proof, facts, verify))',
    ),
    _gates(
        "proofs for new_only are of this epoch",
        "5",
        "a pass stands for copies that missed updates since",
        '        *_when(proof.epoch != facts.epoch, f"the {what} is of an earlier dual-write epoch: {remedy}"),\n',
        "",
    ),
    _gates(
        "proofs for new_only are of this server process",
        "5",
        "what a server lost at a failover counts as proven",
        "*_when(proof.server != facts.server,",
        "*_when(False,",
    ),
    _gates(
        "proofs for new_only are not too old",
        "stages",
        "a verification of last month opens the gate",
        "*_when(age > limit,",
        "*_when(False,",
    ),
    _gates(
        "new_only needs quarantined records to be acknowledged",
        "quarantine",
        "records that could not be moved vanish unseen",
        "    if facts.unacknowledged:\n",
        "    if False:\n",
    ),
    _gates(
        "a later finding closes the gate again",
        "2",
        "an older clean verification hides what a newer one found",
        "    later = [proof for proof in facts.verifications if proof.started_at > max(holding)]\n",
        "    later: list[Proof] = []\n",
    ),
)

MOVES = (
    guard(
        "a move up goes one rung",
        "stages",
        "two stages run together that do not read each other's writes",
        Edit("moves.py", "        if len(rungs) > 1:\n", "        if False:\n"),
    ),
    guard(
        "a gate that does not hold is passed with a reason only",
        "stages",
        "a move goes up without its proof",
        Edit("moves.py", "if reasons and (override is None or target is Stage.SEALED):", "if False:"),
    ),
    guard(
        "sealed is not reached by an override",
        "stages",
        "legacy copies go stale with no way back",
        Edit("moves.py", "(override is None or target is Stage.SEALED)", "override is None"),
    ),
    guard(
        "down from sealed ends at new_only",
        "2",
        "reads go by legacy copies that were not written",
        Edit(
            "moves.py",
            "        if target.rung < Stage.NEW_ONLY.rung and self._unreversed(scope, recorded):\n",
            "        if False:\n",
        ),
    ),
    guard(
        "a rollback stops where legacy copies were not written",
        "2",
        "a rollback serves stale jobs",
        Edit(
            "moves.py",
            "            unreversed = self._unreversed(scope, recorded)\n",
            "            unreversed = False\n",
        ),
    ),
    guard(
        "a rollback pauses running work",
        "control",
        "a backfill goes on while a person looks at what went wrong",
        Edit("moves.py", '        control.pause(self._client, self._who, "rollback")\n', ""),
    ),
    guard(
        "a rollback withdraws the statement",
        "2",
        "old processes that came back in dual_write are not thought of, and reads prefer what they do not write",
        lua(
            "move_stage",
            "  if stage == 'dual_write' and ladder(before).rung > ladder(stage).rung then",
            "  if false then",
        ),
    ),
    guard(
        "a rollback withdraws what the index proves",
        "listing",
        "what an old process made after a rollback is in no index, and listings leave it out",
        lua(
            "move_stage",
            "    if scope == '*' then call('DEL', K.indexed) else call('HSET', K.indexed, scope, 'withdrawn') end",
            "",
        ),
    ),
    guard(
        "the index of a workspace that was rolled back alone serves no listing",
        "listing",
        "the index of everything stands in for it, though an old process may have made jobs that are not in it",
        lua("list_indexed", "if done[1] == 'withdrawn' then return false end", ""),
    ),
    guard(
        "a pass that a rollback has met proves no index",
        "listing",
        "a pass of new_first ends behind old processes that came back, and listings leave out what they make",
        lua("finish_pass", "ARGV[3] == '1' and not withdrawn_since(at[1])", "ARGV[3] == '1'"),
    ),
    guard(
        "nor does one that started over since",
        "listing",
        "a walker starts such a pass over, and it ends as if there had been no rollback",
        lua("join_pass", "and not withdrawn_since(at.generation) and at.alone", "and at.alone"),
    ),
    guard(
        "a later pass over everything proves the index of each workspace again",
        "listing",
        "listings of a workspace that was rolled back once look through the keyspace for good",
        lua("finish_pass", "if what == 'withdrawn' then", "if false then"),
    ),
    guard(
        "there is a way back on a full server",
        "R",
        "when the second copies have filled the server there is no way down from them",
        lua(
            "move_stage",
            "if #ARGV > 6 and ladder(ARGV[#ARGV]).rung < ladder(before).rung then call('LTRIM', KEYS[2], 0, 9999) end",
            "",
        ),
    ),
    guard(
        "a full server can be paused",
        "R",
        "a rollback ends before its first move, at the pause",
        lua("set_control", "call('HDEL', KEYS[1], 'why')", ""),
    ),
    guard(
        "a server without jobs is looked at where both schemas are written",
        "2",
        "a job that was enqueued behind the look is in one schema only, and readers look in the other",
        Edit("moves.py", "            stop = _stop_to_look(start, target)\n", "            stop = None\n"),
    ),
    guard(
        "a move is made on the server process that its gate was judged on",
        "2",
        "a gate is passed by proofs of a server that has come back older since",
        lua("move_stage", "if ARGV[6] ~= '' and ARGV[6] ~= server_process() then moved = true end", ""),
    ),
    guard(
        "a move is made from where the mover looked",
        "stages",
        "two moves at once skip a gate",
        lua("move_stage", "if moved or stands ~= stood or epoch ~= seen_epoch then", "if false then"),
    ),
    guard(
        "whoever enters dual_write from legacy begins an epoch",
        "5",
        "what was proven before the time in legacy still counts",
        lua("move_stage", "epoch = integer(call('HINCRBY', KEYS[1], '*epoch', 1))", "epoch = '0'"),
    ),
    guard(
        "the seal is remembered over its end",
        "2",
        "after a time in new_only nothing tells that legacy copies were not written",
        lua("move_stage", "  if stage == 'sealed' then call('HSET', KEYS[3], scope, '1') end\n", ""),
    ),
    guard(
        "a verification over a change of stage proves nothing",
        "5",
        "what was compared before the change counts for the stage after it",
        Edit(
            "proving.py",
            "        kept = before.stages.items() & after.stages.items()\n",
            "        kept = after.stages.items()\n",
        ),
    ),
    guard(
        "a verification over a change of epoch proves nothing",
        "5",
        "copies that missed updates count as proven",
        Edit("proving.py", '"epoch": after.epoch if before.epoch == after.epoch else "",', '"epoch": after.epoch,'),
    ),
    guard(
        "a verification that started over began anew",
        "5",
        "a verification counts from before the statement that it has to follow",
        Edit("proving.py", "            if step.notice:\n", "            if False:\n"),
    ),
    guard(
        "a repairing verification keeps its lease",
        "9",
        "another run begins while a repair goes on",
        Edit("proving.py", "            self._hold_lease(wait=False)\n", ""),
    ),
    guard(
        "nothing is copied while no stage is recorded",
        "2",
        "copies are made that processes with other flags do not keep",
        Edit("migration.py", "        if not recorded.covers(scope):\n", "        if False:\n"),
    ),
    guard(
        "a scope in legacy is refused",
        "2",
        "a copy is made that goes stale unseen",
        Edit("migration.py", "        if left or (not scope and recorded.all_legacy):\n", "        if False:\n"),
    ),
    guard(
        "a quarantined record is acknowledged with its reason",
        "quarantine",
        "a record that is invalid for another reason now counts as seen",
        lua(
            "recheck_quarantine",
            "call('HGET', KEYS[2], id) == fault and '1' or '0'",
            "call('HEXISTS', KEYS[2], id) == 1 and '1' or '0'",
        ),
    ),
    guard(
        "a record that was mended leaves the quarantine",
        "quarantine",
        "a gate waits for records that are valid by now",
        lua("recheck_quarantine", "  if state == 'invalid' then\n", "  if true then\n"),
    ),
)
