-- Offers the next job to a worker: first one whose claim has expired, then from the queue; it becomes running.
-- KEYS: call outcome, queue, claims, claimants
-- ARGV: worker, token, lease in milliseconds, time (ISO 8601), flag stage, '1' if the process reads legacy,
--       milliseconds the call's outcome is kept, entries to look at
-- Returns: {'ok', stage, workspace, job, lease end in ms} | {'empty'} | {'again'} | {'type', key, found} |
--          {'flags', stage}
local worker, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local found = other_type(KEYS[2], 'list')
if found then return {'type', KEYS[2], found} end
local now = now_ms()

local function answer(workspace, id)
  local stage = stage_of(workspace, ARGV[5])
  local job = read_job(stage, workspace, id)
  return job and {'ok', stage, workspace, job, integer(now + lease)}
end

local function take(workspace, id, stage, side, status, enqueued_at)
  local copies = written_copies(stage, workspace, id, side, enqueued_at)
  if status_of(status) == 'pending' then
    for _, copy in ipairs(copies) do call('HSET', copy, 'status', 'running', 'started_at', ARGV[4]) end
  end
  local member = claim_member(workspace, id)
  end_claim(workspace, id)
  call('ZADD', KEYS[3], integer(now + lease), member)
  call('HSET', KEYS[4], member, token .. '\31' .. worker, worker .. '\31' .. id, workspace)
  call('SET', KEYS[1], member, 'PX', ARGV[7])
  return answer(workspace, id)
end

local function parse(member) return string.match(member, '^\31([^\31]*)\31(.*)$') end

local known = call('GET', KEYS[1])
if known then
  local held = call('HGET', KEYS[4], known)
  if held and string.match(held, '^[^\31]*') == token then
    -- It may have expired since; the call then goes on to the next job.
    local reply = answer(parse(known))
    if reply then return reply end
    end_claim(parse(known))
  end
end

local budget = tonumber(ARGV[8])
for _, member in ipairs(call('ZRANGEBYSCORE', KEYS[3], '-inf', integer(now), 'LIMIT', 0, budget)) do
  local workspace, id = parse(member)
  local stage = stage_of(workspace, ARGV[5])
  if not reading_stage(stage, ARGV[6], workspace) then return {'flags', stage} end
  local side, status, enqueued_at = locate(stage, workspace, id)
  if side and not TERMINAL[status_of(status)] then return take(workspace, id, stage, side, status, enqueued_at) end
  end_claim(workspace, id)
end

for _ = 1, budget do
  local entry = call('LINDEX', KEYS[2], 0)
  if not entry then return {'empty'} end
  local workspace, id = parse(entry)
  if not workspace then
    id = entry
    local state, owner = legacy_state(id)
    -- The library cannot hand it out, but a process without the library may have to finish it.
    if state == 'invalid' then call('RPUSH', K.set_aside, entry) end
    if state == 'valid' then workspace = owner end
  end
  if workspace then
    local stage = stage_of(workspace, ARGV[5])
    if not reading_stage(stage, ARGV[6], workspace) then return {'flags', stage} end
    local side, status, enqueued_at = locate(stage, workspace, id)
    if side and not TERMINAL[status_of(status)] and not call('ZSCORE', KEYS[3], claim_member(workspace, id)) then
      -- Taken off the queue last: an error before it leaves the entry where it was.
      local reply = take(workspace, id, stage, side, status, enqueued_at)
      call('LPOP', KEYS[2])
      return reply
    end
  end
  call('LPOP', KEYS[2])
end
return {'again'}
