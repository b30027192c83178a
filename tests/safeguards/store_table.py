"""Safeguards of the job store: each call is one script, and these are the checks in it."""

from tests.safeguards.edits import Edit
from tests.safeguards.safeguard import guard, lua

RULES = (
    guard(
        "the stage is read in the script",
        "2",
        "a process acts on the stage that it knew when it was started",
        lua("rules", "return recorded[1] or recorded[2] or flag_stage", "return flag_stage"),
    ),
    guard(
        "a stage that a process does not know stops every call",
        "stages",
        "every job is taken for none: a claim empties the queue, a delete removes both copies and says there was none",
        Edit("scripting.py", " error('unknown stage ' .. stage)", ""),
    ),
    guard(
        "a workspace's own stage comes before the default",
        "2",
        "a workspace that was moved alone is served by the stage of all others",
        lua(
            "rules",
            "return recorded[1] or recorded[2] or flag_stage",
            "return recorded[2] or recorded[1] or flag_stage",
        ),
    ),
    guard(
        "READ_PREFERS_NEW=off reads legacy wherever it is written",
        "stages",
        "the changelog's rollback by a flag has no effect",
        lua("rules", "if reads_legacy ~= '1' then return stage end", "if true then return stage end"),
    ),
    guard(
        "READ_PREFERS_NEW=off is refused where legacy is not written",
        "2",
        "a process reads legacy copies that nobody writes any more",
        lua("rules", "if not ladder(stage).legacy then return nil end", ""),
    ),
    guard(
        "READ_PREFERS_NEW=off is refused until legacy copies were written back",
        "2",
        "after sealed a process reads legacy copies that were not written meanwhile",
        lua("rules", "if unreversed(workspace) then return nil end", ""),
    ),
    guard(
        "a workspace id is checked in the script",
        "4",
        "a record whose workspace holds a colon gets a copy under another workspace's name",
        lua(
            "rules", "known = #text <= 64 and string.find(text, '^[A-Za-z0-9][A-Za-z0-9_%-]*$') ~= nil", "known = true"
        ),
    ),
    guard(
        "a job id is checked in the script",
        "quarantine",
        "an id with control characters is copied instead of quarantined",
        lua("rules", "if not is_id(id) then return 'bad_id' end", ""),
    ),
    guard(
        "a legacy job's own id is compared with its key",
        "quarantine",
        "a record that says it is another job is copied under the wrong name",
        lua("rules", "if job_id and job_id ~= id then return 'id_mismatch' end", ""),
    ),
    guard(
        "a whole copy names its workspace",
        "1",
        "a hash of another workspace, or half a hash, counts as the copy",
        lua(
            "rules",
            "if head[1] == workspace and (not head[2] or head[2] == id) then",
            "if head[1] and (not head[2] or head[2] == id) then",
        ),
    ),
    guard(
        "a whole copy names its job",
        "1",
        "the copy of another job counts as this one's",
        lua("rules", "if head[1] == workspace and (not head[2] or head[2] == id) then", "if head[1] == workspace then"),
    ),
    guard(
        "a job is found for its owner only, by writers",
        "4",
        "a foreign workspace can update or delete a job by its legacy copy",
        lua(
            "rules",
            "if state == 'valid' and owner == workspace then return side, status or '', enqueued_at end",
            "if state == 'valid' then return side, status or '', enqueued_at end",
        ),
    ),
    guard(
        "a job is found for its owner only, by readers",
        "4",
        "a foreign workspace can read a job by its legacy copy",
        lua(
            "rules",
            "if found and found[1] == workspace and",
            "if found and found[1] and",
        ),
    ),
    guard(
        "a copy that names another job is not read",
        "4",
        "a job is served under another job's id",
        lua(
            "rules",
            "found[1] == workspace and (not found[2] or found[2] == id) then",
            "found[1] == workspace then",
        ),
    ),
    guard(
        "a job of an id with control characters is not listed by its index entry",
        "quarantine",
        "a record that no engine may copy is shown, and lost to its reader when reads move to the new schema",
        lua("list_indexed", "is_id(member) and read_job", "read_job"),
    ),
    guard(
        "a job of an id with control characters is not listed by its key",
        "quarantine",
        "a record that no engine may copy is shown, and lost to its reader when reads move to the new schema",
        lua("list_scanned", "is_id(id) and read_job", "read_job"),
    ),
    guard(
        "a job of an id with control characters is not handed out",
        "quarantine",
        "a worker gets a job on which it cannot report, and again when its claim expires",
        lua("rules", "  if not is_id(id) then return nil end\n  for", "  for"),
    ),
    guard(
        "a copy carries the absolute expiry",
        "3",
        "a job that should expire lives on in the copy",
        lua("rules", "  call('COPY', from, to, 'REPLACE')", "  call('COPY', from, to, 'REPLACE') call('PERSIST', to)"),
    ),
    guard(
        "an update carries the whole job over first",
        "1",
        "an update of a job that is not copied yet leaves a hash with two fields, which reads prefer",
        lua("rules", "      carry(right, scoped)\n", ""),
    ),
    guard(
        "an update carries the whole job back first",
        "1",
        "an update of a job without its legacy copy leaves a hash with two fields there",
        lua("rules", "    if state == 'absent' then carry_back(workspace, id) end\n", ""),
    ),
    guard(
        "a partial copy is replaced before an update",
        "1",
        "an update is written into the partial hash that the predecessor left",
        lua("rules", "if state == 'absent' or state == 'partial' then", "if state == 'absent' then"),
    ),
    guard(
        "a foreign or invalid legacy record is not written to",
        "4",
        "an update of one workspace's job changes the record of another under the same id",
        lua(
            "rules",
            "if state == 'absent' or (state == 'valid' and owner == workspace) then keys[2] = legacy end",
            "keys[2] = legacy",
        ),
    ),
    guard(
        "expiry is part of equality",
        "3",
        "a copy that outlives its job counts as equal",
        lua("rules", "return call('PEXPIRETIME', left) == call('PEXPIRETIME', right)", "return true"),
    ),
    guard(
        "every value is part of equality",
        "6",
        "a copy with another value, its fields in another order, counts as equal",
        lua("rules", "if map[b[i]] ~= b[i + 1] then return false end", ""),
    ),
    guard(
        "what is indexed behind a listing's back is marked",
        "listing",
        "a listing shows a job twice that was copied while it went on",
        lua("rules", "if added == 1 then mark_late(workspace, id) end", ""),
    ),
    guard(
        "what is copied back behind a listing's back is marked",
        "listing",
        "a listing shows a job twice whose legacy copy was written while it went on",
        lua("rules", "  mark_late(workspace, carried_back(id))\n", ""),
    ),
    guard(
        "a job that is created anew is free of the old claim",
        "claims",
        "a job of a reused id is held by the worker of the one before",
        lua("enqueue_jobs", "    if keep ~= '' then end_claim(workspace, id) end\n", ""),
    ),
)

CALLS = (
    guard(
        "an update that is sent again finds its own outcome",
        "retry",
        "after a lost reply the retry of an update is told that the transition is illegal, or repeats it",
        lua("update_job", "if call('EXISTS', KEYS[1]) == 1 then", "if false then"),
    ),
    guard(
        "an enqueue that is sent again finds its own outcome",
        "retry",
        "after a lost reply the retry of an enqueue is told that its own id is taken",
        lua("enqueue_jobs", "if known then return 'ok", "if false then return 'ok"),
    ),
    guard(
        "a delete that is sent again finds its own outcome",
        "retry",
        "after a lost reply the retry of a delete says that there was no job, or deletes a new one of that id",
        lua("delete_job", "if known then return {'ok', recorded, known} end", ""),
    ),
    guard(
        "a claim that is sent again finds its own job",
        "retry",
        "after a lost reply the retry of a claim takes a second job, and the first waits for its lease to end",
        lua("claim_job", "if known then\n  local held", "if false then\n  local held"),
    ),
    guard(
        "a retry sends the same call",
        "retry",
        "a connection error surfaces although the call could have been sent again",
        Edit("calls.py", "is_retryable=worth_it", "is_retryable=lambda _: False"),
    ),
    guard(
        "a call is sent again only for as long as its outcome is kept",
        "retry",
        "a call that fails after minutes is sent again when its outcome is forgotten, and done a second time",
        Edit("calls.py", "where, *args), began, error)", "where, *args), None, error)"),
    ),
    guard(
        "a late worker's update is refused by its claim token",
        "claims",
        "a worker whose claim has expired overwrites the outcome of the one that took over",
        lua(
            "update_job",
            "if ARGV[9] ~= '' and not TERMINAL[present] and (not held or string.match(held, '^[^\\31]*') ~= ARGV[9]) then",
            "if false then",
        ),
    ),
    guard(
        "a worker remembers its claim token",
        "claims",
        "a late worker's update cannot be told from a bystander's",
        Edit("claims.py", "        self._tokens[workspace, job.job_id] = token\n", ""),
    ),
    guard(
        "a heartbeat is checked against the claim token",
        "claims",
        "a worker that was replaced by one of its own name keeps a claim alive that is not its own",
        lua("renew_claim", "if ARGV[3] ~= '' and string.match", "if false and string.match"),
    ),
    guard(
        "whoever takes a job over ends the claim before",
        "claims",
        "a worker renews a claim that another one holds",
        lua("claim_job", "  end_claim(workspace, id)\n  call('ZADD'", "  call('ZADD'"),
    ),
    guard(
        "a terminal status ends the claim",
        "claims",
        "a finished job keeps its claim",
        lua("update_job", "if TERMINAL[status] then end_claim(workspace, id) end", ""),
    ),
    guard(
        "a claimed job is not offered from the queue",
        "claims",
        "a job whose id is queued twice is given to two workers",
        lua("claim_job", " and not call('ZSCORE', KEYS[3], claim_member(workspace, id))", ""),
    ),
    guard(
        "a finished job is not offered",
        "2",
        "a job that is already finished runs again",
        lua(
            "claim_job",
            "if side and not TERMINAL[status_of(status)] and not call(",
            "if side and not call(",
        ),
    ),
    guard(
        "a finished job is not offered again when its claim ends",
        "2",
        "a job that a process without the library finished runs again",
        lua(
            "claim_job",
            "if side and not TERMINAL[status_of(status)] then return take(",
            "if side then return take(",
        ),
    ),
    guard(
        "expired claims are offered first",
        "claims",
        "a job whose worker died waits behind the whole queue",
        lua("claim_job", "call('ZRANGEBYSCORE', KEYS[3], '-inf', integer(now), 'LIMIT', 0, budget)", "{}"),
    ),
    guard(
        "an entry that the library cannot hand out is set aside",
        "2",
        "the queue entry of an invalid record is gone, and a process without the library never gets it",
        lua("claim_job", "if state == 'invalid' then call('RPUSH', K.set_aside, entry) end", ""),
    ),
    guard(
        "the status table is looked at in the script",
        "2",
        "a finished job can be started again, or finished with another outcome",
        lua("update_job", "if not EDGES[present .. '>' .. status] then return {'illegal', present} end", ""),
    ),
    guard(
        "another outcome of the same status is refused",
        "2",
        "a second outcome is acknowledged and dropped",
        lua("update_job", "    return {'illegal', present}\n  end\n  return {'ok'", "  end\n  return {'ok'"),
    ),
    guard(
        "in sealed an update names its workspace",
        "2",
        "an update goes by what a legacy copy says that nobody writes any more",
        lua("update_job", "if stage_of(workspace, ARGV[7]) == 'sealed' then return {'sealed'} end", ""),
    ),
    guard(
        "an update names its workspace until legacy copies were written back",
        "2",
        "a job that was enqueued in sealed is called unknown",
        lua("update_job", "if owner_state ~= 'valid' and unreversed(workspace) then return {'sealed'} end", ""),
    ),
    guard(
        "a taken id is refused",
        "2",
        "a second enqueue of an id overwrites the job",
        lua("enqueue_jobs", "if ids[id] or call('EXISTS', job.legacy, job.scoped) > 0 then", "if ids[id] then"),
    ),
    guard(
        "a repeated request gives the first job",
        "idempotency",
        "two requests with one client_request_id make two jobs",
        lua(
            "enqueue_jobs",
            "local first = earlier and earlier.id or typed('GET', request)",
            "local first = earlier and earlier.id or false",
        ),
    ),
    guard(
        "a request id is bound to its payload",
        "idempotency",
        "another request of the same client_request_id is answered with the first one's job",
        lua("enqueue_jobs", "if digest and digest ~= hash then return {'conflict', number} end", ""),
    ),
    guard(
        "an enqueue is refused by an index of another type",
        "2",
        "a job is made that no listing by index shows",
        lua(
            "enqueue_jobs",
            "if not typed('ZADD', KEYS[3], score, id) then return {'type', KEYS[3], other_type(KEYS[3], 'zset')} end",
            "typed('ZADD', KEYS[3], score, id)",
        ),
    ),
    guard(
        "an enqueue is refused by a queue of another type",
        "2",
        "a queue of another type leaves a job that is never queued",
        lua("enqueue_jobs", "      return {'type', KEYS[2], other_type(KEYS[2], 'list')}\n", ""),
    ),
    guard(
        "an enqueue that is refused by its queue leaves no index entry",
        "listing",
        "a listing meets an entry of a job that never was",
        lua("enqueue_jobs", "      call('ZREM', KEYS[3], id)\n", ""),
    ),
    guard(
        "an idempotency key of another type refuses the whole enqueue",
        "2",
        "the script ends in its middle",
        lua(
            "enqueue_jobs", "    if first == nil then return {'type', request, other_type(request, 'string')} end\n", ""
        ),
    ),
    guard(
        "an upgraded writer indexes its jobs",
        "listing",
        "a new job is in no listing by index",
        lua("enqueue_jobs", "if not typed('ZADD', KEYS[3], score, id) then", "if false then"),
    ),
    guard(
        "in sealed a queue entry names its workspace",
        "4",
        "the job of a sealed workspace cannot be found by its queue entry",
        lua("enqueue_jobs", "rule.legacy and id or claim_member(workspace, id)", "id"),
    ),
    guard(
        "a delete removes the legacy copy",
        "3",
        "a deleted job comes back by its legacy copy",
        lua("delete_job", "if old then call('DEL', KEYS[2]) end", ""),
    ),
    guard(
        "a delete removes the workspace copy",
        "3",
        "a deleted job comes back when reads prefer the new schema",
        lua("delete_job", "if copy == 'whole' or (copy == 'partial' and side) then call('DEL', KEYS[3]) end", ""),
    ),
    guard(
        "a delete removes the index entry",
        "3",
        "the index keeps entries of deleted jobs",
        lua("delete_job", "call('ZREM', KEYS[4], id)\n", ""),
    ),
    guard(
        "a delete ends the claim",
        "claims",
        "a deleted job is still held",
        lua("delete_job", "end_claim(workspace, id)\n", ""),
    ),
    guard(
        "a delete spares a foreign legacy record",
        "4",
        "a workspace deletes the record of another under the same id",
        lua("delete_job", "local old = state == 'valid' and owner == workspace", "local old = state == 'valid'"),
    ),
    guard(
        "the index alone serves after a complete pass only",
        "listing",
        "jobs that no pass has indexed are missing from listings",
        lua(
            "list_indexed",
            "  if ladder(recorded).rung < ladder('new_first').rung then return false end\n",
            "  if true then return true end\n",
        ),
    ),
    guard(
        "a pass of an earlier epoch has not indexed everything",
        "listing",
        "jobs written meanwhile by legacy writers are missing from listings",
        lua("list_indexed", "return done[1] == epoch or done[2] == epoch", "return done[1] or done[2]"),
    ),
    guard(
        "a listing that rested too long is refused",
        "listing",
        "a listing goes on without knowing what was indexed behind its back",
        lua("list_indexed", "if not since or tonumber(since) > tonumber(walk) then return {'expired'} end", ""),
    ),
    guard(
        "a listing's keyspace walk leaves out what the index has shown",
        "listing",
        "a job is listed twice",
        lua("list_scanned", "if job and not met_in_index(id) and", "if job and"),
    ),
    guard(
        "a job with two copies is listed once",
        "listing",
        "a job is met at both of its keys",
        lua(
            "list_scanned",
            "  if state == 'valid' and owner == workspace and not is_late(workspace, carried_back(id), walk) then return nil end\n",
            "",
        ),
    ),
    guard(
        "a listing forgets nothing that SCAN repeats",
        "listing",
        "a job is listed twice while the server's table shrinks",
        Edit("listing.py", "        if digest not in known:", "        if True:"),
    ),
    guard(
        "a cursor is bound to its workspace and status",
        "4",
        "a cursor of one workspace goes on in another's listing",
        Edit("listing.py", "if (position.workspace, position.status) != (workspace, status):", "if False:"),
    ),
    guard(
        "a contradicting flag ends the start",
        "stages",
        "a process starts whose flags contradict the recorded stage",
        Edit("calls.py", "            if names:\n", "            if False:\n"),
    ),
    guard(
        "a user with half of the write access is refused",
        "1",
        "a script ends in its middle and leaves half a job",
        Edit("access.py", 'if unwritable and reader == b"0":', "if False:"),
    ),
    guard(
        "a server that lacks a command is refused",
        "1",
        "a script ends in its middle and leaves half a job",
        Edit("access.py", "    if lacking:\n", "    if False:\n"),
    ),
    guard(
        "a cluster is refused",
        "servers",
        "the two keys of a job are on different nodes",
        Edit("servers.py", 'if "cluster" in {info.get("redis_mode"), info.get("server_mode")}:', "if False:"),
    ),
    guard(
        "an old server is refused",
        "servers",
        "a server without the commands of the scripts fails in the middle of one",
        Edit("servers.py", 'if tuple(int(part) for part in re.findall(r"\\d+", text)[:2]) < MINIMUM:', "if False:"),
    ),
)
