-- One bounded step of a listing through the keyspace: the jobs that the walk has not met in the index.
-- KEYS: index
-- ARGV: workspace, flag stage, '1' if the process reads legacy, status or '', walk number, SCAN cursor, SCAN count,
--       then ids to look at instead of a SCAN step
-- Returns: {'ok', next cursor, {id, flat fields, ...}} | {'flags', stage} | {'expired'}
local workspace, status, walk = ARGV[1], ARGV[4], tonumber(ARGV[5])
local recorded = stage_of(workspace, ARGV[2])
local stage = reading_stage(recorded, ARGV[3])
if not stage then return {'flags', recorded} end
local since = call('GET', K.walk .. workspace)
if not since or tonumber(since) > walk then return {'expired'} end
call('PEXPIRE', K.walk .. workspace, WALK_TTL)

local own = K.scoped .. workspace .. ':'
-- The id in a key of either schema; a job with two copies is met at its legacy key.
local function id_at(key)
  if string.sub(key, 1, #K.legacy) == K.legacy then return string.sub(key, #K.legacy + 1) end
  if string.sub(key, 1, #own) ~= own then return nil end
  local id = string.sub(key, #own + 1)
  local state, owner = legacy_state(id)
  if state == 'valid' and owner == workspace then return nil end
  return id
end

local function met_in_index(id)
  if not call('ZSCORE', KEYS[1], id) then return false end
  local late = call('ZSCORE', K.late .. workspace, id)
  return not (late and tonumber(late) >= walk)
end

local cursor, candidates = ARGV[6], {}
if #ARGV > 7 then
  for i = 8, #ARGV do candidates[#candidates + 1] = ARGV[i] end
else
  local step = call('SCAN', cursor, 'MATCH', string.sub(K.scoped, 1, -2) .. '*', 'COUNT', ARGV[7])
  cursor = step[1]
  for _, key in ipairs(step[2]) do candidates[#candidates + 1] = id_at(key) end
end
local items, seen = {}, {}
for _, id in ipairs(candidates) do
  if not seen[id] then
    seen[id] = true
    local side, flat = read_job(stage, workspace, id)
    if side and not met_in_index(id) and (status == '' or status_of(by_field(flat)['status'] or '') == status) then
      items[#items + 1], items[#items + 2] = id, flat
    end
  end
end
return {'ok', cursor, items}
