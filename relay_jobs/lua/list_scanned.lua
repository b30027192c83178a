-- One bounded step of a listing through the keyspace: the jobs that the walk has not met in the index.
-- KEYS: index
-- ARGV: workspace, flag stage, '1' if the process reads legacy, status or '', walk number, SCAN cursor, jobs wanted,
--       entries to look at, then ids to look at instead of a SCAN step
-- Returns: {'ok', next cursor, {job, ...}} | {'flags', stage} | {'expired'}
local workspace, status, walk, wanted = ARGV[1], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[7])
local recorded = stage_of(workspace, ARGV[2])
local stage = reading_stage(recorded, ARGV[3], workspace)
if not stage then return {'flags', recorded} end
local since = call('GET', K.walk .. workspace)
if not since or tonumber(since) > walk then return {'expired'} end
keep_walk(workspace)

local own = K.scoped .. workspace .. ':'
-- The id of a job that is met at this key: one with two copies at its legacy key, unless that is the newer one.
local function id_at(key)
  if string.sub(key, 1, #K.legacy) == K.legacy then
    local id = string.sub(key, #K.legacy + 1)
    local state, owner = legacy_state(id)
    if state ~= 'valid' or owner ~= workspace or is_late(workspace, carried_back(id), walk) then return nil end
    return id
  end
  if string.sub(key, 1, #own) ~= own then return nil end
  local id = string.sub(key, #own + 1)
  local state, owner = legacy_state(id)
  if state == 'valid' and owner == workspace and not is_late(workspace, carried_back(id), walk) then return nil end
  return id
end

local function met_in_index(id) return call('ZSCORE', KEYS[1], id) and not is_late(workspace, id, walk) end

local items = {}
local function show(id)
  local job = is_id(id) and read_job(stage, workspace, id)
  if job and not met_in_index(id) and (status == '' or status_of(job[3] or '') == status) then
    items[#items + 1] = job
  end
end

for i = 9, #ARGV do show(ARGV[i]) end
if #ARGV > 8 then return {'ok', ARGV[6], items} end

-- In small steps: what is found beyond the page has to travel in the cursor.
local cursor, budget = ARGV[6], tonumber(ARGV[8])
repeat
  local count = math.max(wanted - #items, 4)
  local step = call('SCAN', cursor, 'MATCH', string.sub(K.scoped, 1, -2) .. '*', 'COUNT', integer(count))
  cursor, budget = step[1], budget - count
  for _, key in ipairs(step[2]) do
    local id = id_at(key)
    if id then show(id) end
  end
until cursor == '0' or budget <= 0 or #items >= wanted
return {'ok', cursor, items}
