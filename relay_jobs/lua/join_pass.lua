-- Opens or joins a pass: takes the run's lease and a partition's, and finds out whether its checkpoint still counts.
-- KEYS: progress, run record, step record, partition lease
-- ARGV: run, lease in milliseconds, database, scope, bits wanted, '1' to restart, partition or '' to open, owner,
--       keys to examine or '', rate a second or '', milliseconds a checkpoint is kept, who,
--       '1' if no process without the library writes any more, '1' to walk again a partition that is walked
-- Returns: {'ok', 'new' | 'resumed' | 'void' | 'walked', reason, bits, generation, token, cursor} |
--          {'held', 'run' | 'partition', holder, ms left}
local run, lease, database, scope, partition, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[7], ARGV[8]
local opening, kept = partition == '', ARGV[11]

local holder = other_holder(K.lease, run)
if holder then return {'held', 'run', holder, call('PTTL', K.lease)} end
local walker = not opening and other_holder(KEYS[4], owner)
if walker then return {'held', 'partition', walker, call('PTTL', KEYS[4])} end

local now = now_ms()
local names = {'state', 'server', 'database', 'scope', 'epoch', 'bits', 'generation', 'pattern', 'alone'}
local values, at = call('HMGET', KEYS[1], unpack(names)), {}
for i, name in ipairs(names) do at[name] = values[i] end
local server = server_process()

-- Whether keys that were scanned and not examined are still listed, in this partition or in all of them.
local function pending_complete()
  local first, last = tonumber(partition), tonumber(partition)
  if opening then first, last = 0, 2 ^ tonumber(at.bits) - 1 end
  for number = first, last do
    local pending = call('HGET', KEYS[1], 'pending:' .. integer(number))
    if pending and call('LLEN', KEYS[1] .. ':pending:' .. integer(number)) ~= tonumber(pending) then return false end
  end
  return true
end

local found, reason = 'resumed', ''
if not at.state then
  found = opening and 'new' or 'void'
  reason = opening and '' or 'its checkpoint is gone'
elseif opening and ARGV[6] == '1' and call('HEXISTS', KEYS[3], 'restarted') == 0 then
  found, reason = 'void', 'a restart was asked for'
elseif opening and at.state == 'complete' then
  found = 'new'
elseif at.server ~= server then
  found, reason = 'void', 'the server process is another one, on which its cursor means nothing'
elseif at.database ~= database then
  found, reason = 'void', 'it was written for another database'
elseif at.scope ~= scope or at.pattern ~= K.legacy then
  found, reason = 'void', 'it was written for other workspaces'
elseif at.epoch ~= epoch() then
  found, reason = 'void', 'a workspace has entered dual_write since'
elseif not opening and at.bits ~= ARGV[5] then
  found, reason = 'void', 'it was divided into another number of partitions'
elseif not pending_complete() then
  found, reason = 'void', PENDING_LOST
end

local bits, generation = at.bits or ARGV[5], at.generation
if found ~= 'resumed' then
  if at.bits then
    for number = 0, 2 ^ tonumber(at.bits) - 1 do call('DEL', KEYS[1] .. ':pending:' .. integer(number)) end
  end
  bits = ARGV[5]
  generation = integer(call('INCR', K.fence))
  -- A walker that starts a pass over has not asked; what its opening was told holds for its epoch, until it is withdrawn.
  local alone = ARGV[13]
  if not opening then alone = at.epoch == epoch() and not withdrawn_since(at.generation) and at.alone or '0' end
  call('DEL', KEYS[1])
  call('HSET', KEYS[1], 'state', 'walking', 'server', server, 'database', database, 'scope', scope, 'epoch', epoch(),
    'bits', bits, 'generation', generation, 'pattern', K.legacy, 'alone', alone, 'started_at', integer(now))
end

take_lease(K.lease, run, lease)
if call('HSETNX', KEYS[2], 'started_at', integer(now)) == 1 then
  call('ZADD', K.runs, integer(now), run)
  call('HSET', KEYS[2], 'who', ARGV[12])
  if ARGV[10] ~= '' then call('HSET', KEYS[2], 'rps', ARGV[10]) end
end
call('HSETNX', KEYS[3], 'started_at', integer(now))
-- A step starts over once: what opens it again goes on.
if ARGV[6] == '1' then call('HSET', KEYS[3], 'restarted', '1') end
if ARGV[9] ~= '' then call('HSETNX', KEYS[3], 'budget', ARGV[9]) end
call('HSET', KEYS[3], 'progress', KEYS[1])

local token, cursor = '', ''
if not opening then
  local walked_by = call('HGET', KEYS[1], 'done:' .. partition)
  local failed = (call('HGET', KEYS[1], 'errors:' .. partition) or '0') ~= '0'
  -- The same owner may come again because it was killed, or its last reply lost, after its end: its books stay.
  local again = ARGV[14] == '1'
  if walked_by and not again and (walked_by ~= owner or not failed) then
    return {'ok', 'walked', '', bits, generation, '', '0'}
  end
  if walked_by then
    call('HDEL', KEYS[1], 'done:' .. partition, 'cursor:' .. partition)
    if failed then
      -- It had errors and comes again, so its task was cleared: its books begin anew. Without errors they go on, and
      -- what is met a second time counts as exists.
      for _, name in ipairs({'scanned', 'migrated', 'exists', 'conflict', 'invalid', 'filtered', 'gone', 'errors'}) do
        call('HDEL', KEYS[1], name .. ':' .. partition)
      end
    end
  end
  token = integer(call('INCR', K.fence))
  -- A counter that came back from a snapshot counts the same number twice.
  token = server .. ':' .. token
  call('HSET', KEYS[1], 'token:' .. partition, token)
  take_lease(KEYS[4], owner, lease)
  cursor = call('HGET', KEYS[1], 'cursor:' .. partition)
  if not cursor then
    cursor = partition
    if found == 'resumed' then found = 'new' end
  end
end
for i = 1, 3 do call('PEXPIRE', KEYS[i], kept) end
return {'ok', found, reason, bits, generation, token, cursor}
