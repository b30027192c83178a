-- Creates jobs in every schema that the stage writes, queues and indexes them: all of them or none.
-- KEYS: call outcome, queue, index, then for each job: legacy copy, workspace copy, idempotency, digest
-- ARGV: workspace, flag stage, '1' if the process reads legacy, milliseconds the call's outcome is kept,
--       milliseconds a request is remembered, then for each job: id, digest or '' without a request id,
--       time to live in milliseconds or '', number of fields, then fields and values
-- Returns: {'ok', stage, id, '1' if created, id, ...} | {'conflict' | 'taken', number of the job} |
--          {'type', key, found} | {'flags', stage}
local workspace, flag_stage, request_ttl = ARGV[1], ARGV[2], ARGV[5]
local recorded = stage_of(workspace, flag_stage)
if not reading_stage(recorded, ARGV[3]) then return {'flags', recorded} end
local rule = LADDER[recorded]

local known = call('GET', KEYS[1])
if known then
  local reply = {'ok', recorded}
  for part in string.gmatch(known, '[^\n]+') do reply[#reply + 1] = part end
  return reply
end

for _, want in ipairs({{KEYS[2], 'list'}, {KEYS[3], 'zset'}}) do
  local found = other_type(want[1], want[2])
  if found then return {'type', want[1], found} end
end

-- Everything that can be refused is looked at before the first write: a script is not rolled back.
local jobs, ids, requests, at = {}, {}, {}, 6
for number = 1, (#KEYS - 3) / 4 do
  local base = 3 + (number - 1) * 4
  local job = {legacy = KEYS[base + 1], scoped = KEYS[base + 2], request = KEYS[base + 3], digest = KEYS[base + 4]}
  job.id, job.hash, job.ttl = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local count = tonumber(ARGV[at + 3])
  job.fields = {}
  for i = 1, count do
    local field, value = ARGV[at + 3 + i * 2 - 1], ARGV[at + 3 + i * 2]
    job.fields[i * 2 - 1], job.fields[i * 2] = field, value
    if field == 'enqueued_at' then job.enqueued_at = value end
  end
  at = at + 4 + count * 2
  if job.hash ~= '' then
    local found = other_type(job.request, 'string')
    if found then return {'type', job.request, found} end
    local earlier = requests[job.request]
    local first = earlier and earlier.id or call('GET', job.request)
    if first then
      local digest = earlier and earlier.hash or call('GET', job.digest)
      if digest and digest ~= job.hash then return {'conflict', number} end
      job.first = first
    else
      requests[job.request] = job
    end
  end
  if not job.first then
    if ids[job.id] or call('EXISTS', job.legacy, job.scoped) > 0 then return {'taken', number} end
    ids[job.id] = true
  end
  jobs[number] = job
end

local reply, outcome, now = {'ok', recorded}, {}, now_ms()
for _, job in ipairs(jobs) do
  if not job.first then
    -- An expired job of this id may still be held; its worker has nothing to do with the new one.
    end_claim(workspace, job.id)
    for _, side in ipairs({'legacy', 'scoped'}) do
      if rule[side] then
        call('HSET', job[side], unpack(job.fields))
        if job.ttl ~= '' then call('PEXPIREAT', job[side], integer(now + tonumber(job.ttl))) end
      end
    end
    call('ZADD', KEYS[3], integer(score_of(job.enqueued_at)), job.id)
    call('RPUSH', KEYS[2], rule.legacy and job.id or claim_member(workspace, job.id))
    if job.hash ~= '' then
      call('SET', job.request, job.id, 'PX', request_ttl)
      call('SET', job.digest, job.hash, 'PX', request_ttl)
    end
  end
  local id, created = job.first or job.id, job.first and '0' or '1'
  reply[#reply + 1], reply[#reply + 2] = id, created
  outcome[#outcome + 1], outcome[#outcome + 2] = id, created
end
call('SET', KEYS[1], table.concat(outcome, '\n'), 'PX', ARGV[4])
return reply
