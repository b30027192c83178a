-- Moves a job to a status in every schema that the stage writes, carrying the whole job over where a copy is absent.
-- KEYS: call outcome, legacy copy, and if the workspace is known: workspace copy, index
-- ARGV: job id, workspace or '', status, result, error, time (ISO 8601), flag stage, '1' if the process reads legacy,
--       claim token or '', milliseconds the call's outcome is kept
-- Returns: {'ok', stage, workspace, job} | {'unknown' | 'foreign' | 'claim_lost' | 'sealed'} |
--          {'illegal', present status} | {'flags', stage}
local id, workspace, status = ARGV[1], ARGV[2], ARGV[3]
local owner_state, owner = legacy_state(id)
if workspace == '' then
  workspace = owner or ''
  -- Without a workspace only the default stage can say that legacy copies no longer count.
  if stage_of(workspace, ARGV[7]) == 'sealed' then return {'sealed'} end
  if owner_state ~= 'valid' and unreversed(workspace) then return {'sealed'} end
  if owner_state ~= 'valid' then return {'unknown'} end
end
local recorded = stage_of(workspace, ARGV[7])
if not reading_stage(recorded, ARGV[8], workspace) then return {'flags', recorded} end

local side, present, enqueued_at = locate(recorded, workspace, id)
if not side then
  if owner_state == 'valid' and owner ~= workspace then return {'foreign'} end
  return {'unknown'}
end
local key = side == 'legacy' and legacy_key(id) or scoped_key(workspace, id)
if call('EXISTS', KEYS[1]) == 1 then return {'ok', recorded, workspace, read_job(recorded, workspace, id)} end

present = status_of(present)
local held = call('HGET', K.claimants, claim_member(workspace, id))
if ARGV[9] ~= '' and not TERMINAL[present] and (not held or string.match(held, '^[^\31]*') ~= ARGV[9]) then
  return {'claim_lost'}
end
if present == status then
  local outcome = call('HMGET', key, 'result', 'error')
  if TERMINAL[status] and ((outcome[1] or '') ~= ARGV[4] or (outcome[2] or '') ~= ARGV[5]) then
    return {'illegal', present}
  end
  return {'ok', recorded, workspace, read_job(recorded, workspace, id)}
end
if not EDGES[present .. '>' .. status] then return {'illegal', present} end

local changes = {'status', status}
if TERMINAL[status] then
  changes = {'status', status, 'finished_at', ARGV[6], 'result', ARGV[4]}
  if ARGV[5] ~= '' then changes[7], changes[8] = 'error', ARGV[5] end
else
  changes = {'status', status, 'started_at', ARGV[6]}
end
for _, copy in ipairs(written_copies(recorded, workspace, id, side, enqueued_at)) do
  call('HSET', copy, unpack(changes))
end
if TERMINAL[status] then end_claim(workspace, id) end
call('SET', KEYS[1], '1', 'PX', ARGV[10])
return {'ok', recorded, workspace, read_job(recorded, workspace, id)}
