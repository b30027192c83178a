-- Removes both copies, the index entry and the claim of a workspace's job in one step, in every stage.
-- KEYS: call outcome, legacy copy, workspace copy, index
-- ARGV: job id, workspace, flag stage, '1' if the process reads legacy, milliseconds the call's outcome is kept
-- Returns: {'ok', stage, '1' if the stage knew the job} | {'flags', stage} | {'type', key, found}
local id, workspace = ARGV[1], ARGV[2]
local recorded = stage_of(workspace, ARGV[3])
if not reading_stage(recorded, ARGV[4], workspace) then return {'flags', recorded} end
local known = call('GET', KEYS[1])
if known then return {'ok', recorded, known} end

local found = other_type(KEYS[4], 'zset')
if found then return {'type', KEYS[4], found} end
local side = locate(recorded, workspace, id)
local state, owner = legacy_state(id)
local copy = scoped_state(workspace, id)
local old = state == 'valid' and owner == workspace
if old then call('DEL', KEYS[2]) end
if copy == 'whole' or (copy == 'partial' and side) then call('DEL', KEYS[3]) end
call('ZREM', KEYS[4], id)
end_claim(workspace, id)
local answer = side and '1' or '0'
if side then call('SET', KEYS[1], answer, 'PX', ARGV[5]) end
return {'ok', recorded, answer}
