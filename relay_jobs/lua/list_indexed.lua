-- One bounded step of a listing along the workspace's index, newest first.
-- KEYS: index
-- ARGV: workspace, flag stage, '1' if the process reads legacy, status or '', jobs wanted, entries to look at,
--       score and member to go on after ('' to begin), walk number or '' (a new walk)
-- Returns: {'ok', 'indexed' | 'mixed', walk number, score, member, '1' at the end, {job, ...}} |
--          {'flags', stage} | {'expired'} | {'type', key, found}
local workspace, status, wanted, budget = ARGV[1], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local recorded = stage_of(workspace, ARGV[2])
local stage = reading_stage(recorded, ARGV[3], workspace)
if not stage then return {'flags', recorded} end
local found = other_type(KEYS[1], 'zset')
if found then return {'type', KEYS[1], found} end

-- The index alone serves from new_first on, once a pass of this dual-write epoch has indexed everything, and the
-- workspace was not back in dual_write since, where processes may enqueue that know of no index.
local function index_serves()
  if ladder(recorded).rung < ladder('new_first').rung then return false end
  local done = call('HMGET', K.indexed, workspace, '*')
  local epoch = call('HGET', K.stages, '*epoch') or '0'
  if done[1] == 'withdrawn' then return false end
  return done[1] == epoch or done[2] == epoch
end

-- A walk over both index and keyspace is registered, so that what is indexed behind its back is marked as late.
local walk, registered = ARGV[9], K.walk .. workspace
if walk == '' then
  walk = '0'
  if not index_serves() then
    -- A script that has begun to write is not stopped for want of memory; a reader needs a few bytes only.
    keep_walk(workspace)
    walk = integer(call('INCR', K.walk_sequence))
    if not call('GET', registered) then call('SET', registered, walk) call('DEL', K.late .. workspace) end
  end
end
if walk ~= '0' then
  local since = call('GET', registered)
  if not since or tonumber(since) > tonumber(walk) then return {'expired'} end
  keep_walk(workspace)
end

local function bytes_less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- First rank, newest first, behind a position: entries of one score are in descending byte order.
local function rank_after(score, member)
  local low = call('ZCOUNT', KEYS[1], '(' .. score, '+inf')
  local high = low + call('ZCOUNT', KEYS[1], score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = call('ZREVRANGE', KEYS[1], middle, middle)[1]
    if bytes_less(found, member) then high = middle else low = middle + 1 end
  end
  return low
end

local rank = 0
if ARGV[7] ~= '' then rank = rank_after(ARGV[7], ARGV[8]) end
local entries = call('ZREVRANGE', KEYS[1], rank, rank + budget - 1, 'WITHSCORES')
local items, dead, score, member = {}, {}, ARGV[7], ARGV[8]
local last = #entries < budget * 2
for i = 1, #entries, 2 do
  if #items >= wanted then last = false break end
  member, score = entries[i], entries[i + 1]
  if walk == '0' or not is_late(workspace, member, tonumber(walk)) then
    local job = is_id(member) and read_job(stage, workspace, member)
    if job then
      if status == '' or status_of(job[3] or '') == status then items[#items + 1] = job end
    elseif call('EXISTS', legacy_key(member), scoped_key(workspace, member)) == 0 then
      dead[#dead + 1] = member
    end
  end
end
-- Expired jobs leave their entries behind; so does a reader of a replica, or one that may not write.
for _, id in ipairs(dead) do redis.pcall('ZREM', KEYS[1], id) end
return {'ok', walk == '0' and 'indexed' or 'mixed', walk, score, member, last and '1' or '0', items}
