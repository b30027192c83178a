-- Creates jobs in every schema that the stage writes, queues and indexes them: all of them or none.
-- KEYS: call outcome, queue, index, then for each job: legacy copy, workspace copy, idempotency, digest
-- ARGV: workspace, flag stage, '1' if the process reads legacy, milliseconds the call's outcome is kept or '',
--       milliseconds a request is remembered, actor, time (ISO 8601), its score in the index, then for each job: id,
--       digest or '' without a request id, time to live in milliseconds or '', provider, action, params
-- Returns: lines: 'ok', stage, id, '1' if created, id, ... | {'conflict' | 'taken', number of the job} |
--          {'type', key, found} | {'flags', stage}
local workspace, keep, request_ttl, actor, time, score = ARGV[1], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local stage = stage_of(workspace, ARGV[2])
if not reading_stage(stage, ARGV[3], workspace) then return {'flags', stage} end

-- A call that keeps no outcome finds its own ids under the ids of its requests.
local known = keep ~= '' and call('GET', KEYS[1])
if known then return 'ok\n' .. stage .. '\n' .. known end

-- Everything that can be refused is looked at before the first write: a script is not rolled back.
local jobs, ids, requests = {}, {}, {}
for number = 1, (#KEYS - 3) / 4 do
  local key, arg = number * 4, number * 6 + 3
  local id, hash, request = ARGV[arg], ARGV[arg + 1], KEYS[key + 2]
  local job = {id = id, hash = hash, legacy = KEYS[key], scoped = KEYS[key + 1], request = request, arg = arg}
  if hash ~= '' then
    local earlier = requests[request]
    local first = earlier and earlier.id or typed('GET', request)
    if first == nil then return {'type', request, other_type(request, 'string')} end
    if first then
      local digest = earlier and earlier.hash or call('GET', KEYS[key + 3])
      if digest and digest ~= hash then return {'conflict', number} end
      job.first = first
    else
      requests[request] = job
      job.digest = KEYS[key + 3]
    end
  end
  -- A call that keeps no outcome has made its ids itself, at random: they are nobody's.
  if not job.first and keep ~= '' then
    if ids[id] or call('EXISTS', job.legacy, job.scoped) > 0 then return {'taken', number} end
    ids[id] = true
  end
  jobs[number] = job
end

local rule, answer = ladder(stage), {}
for _, job in ipairs(jobs) do
  local id, arg = job.id, job.arg
  if not job.first then
    -- The first of these is the first write: where index or queue is of another type, nothing is left of the call.
    if not typed('ZADD', KEYS[3], score, id) then return {'type', KEYS[3], other_type(KEYS[3], 'zset')} end
    if not typed('RPUSH', KEYS[2], rule.legacy and id or claim_member(workspace, id)) then
      call('ZREM', KEYS[3], id)
      return {'type', KEYS[2], other_type(KEYS[2], 'list')}
    end
    -- An expired job of this id may still be held; its worker has nothing to do with the new one.
    if keep ~= '' then end_claim(workspace, id) end
    local copy = rule.legacy and job.legacy or job.scoped
    call('HSET', copy, 'job_id', id, 'status', 'pending', 'action_provider', ARGV[arg + 3], 'action_name', ARGV[arg + 4],
      'params', ARGV[arg + 5], 'workspace_id', workspace, 'actor_id', actor, 'result', '', 'enqueued_at', time,
      'started_at', '', 'finished_at', '')
    local ttl = ARGV[arg + 2]
    if ttl ~= '' then call('PEXPIREAT', copy, integer(now_ms() + tonumber(ttl))) end
    if rule.legacy and rule.scoped then carry(copy, job.scoped) end
    if job.hash ~= '' then
      call('SET', job.request, id, 'PX', request_ttl)
      call('SET', job.digest, job.hash, 'PX', request_ttl)
    end
  end
  local created = not job.first or (keep == '' and job.first == id)
  answer[#answer + 1], answer[#answer + 2] = job.first or id, created and '1' or '0'
end
answer = table.concat(answer, '\n')
if keep ~= '' then call('SET', KEYS[1], answer, 'PX', keep) end
return 'ok\n' .. stage .. '\n' .. answer
