-- Makes one job's copies equal in one step: the one that the stage reads is right.
-- KEYS: legacy copy, workspace copy, index
-- ARGV: workspace, job id, flag stage, run that holds the lease
-- Returns: {'ok', 'copied' | 'overwritten' | 'removed' | 'copied_back' | 'indexed' | 'listed' | 'equal' | 'gone'} |
--          {'impossible', reason} | {'fenced', holder}
local workspace, id = ARGV[1], ARGV[2]
local holder = other_holder(K.lease, ARGV[4])
if holder then return {'fenced', holder} end
local stage = stage_of(workspace, ARGV[3])
local rule = ladder(stage)
local state, owner, fault, enqueued_at = legacy_state(id)
local copy, copy_enqueued_at = scoped_state(workspace, id)
local valid = state == 'valid' and owner == workspace

-- Where legacy is no longer written, its copies are not touched; a listing needs the index all the same.
if rule.scoped and not rule.legacy and copy == 'whole' and index_fault(workspace, id, copy_enqueued_at) then
  local equal = valid and same(KEYS[1], KEYS[2])
  if equal or not valid then
    index_late(workspace, id, copy_enqueued_at)
    -- An index of another type takes no entry.
    if index_fault(workspace, id, copy_enqueued_at) then return {'impossible', equal and 'index_type' or 'sealed'} end
    return {'ok', equal and 'indexed' or 'listed'}
  end
end
if not (rule.legacy and rule.scoped) then return {'impossible', 'stage_' .. stage} end
local legacy_right = read_order(stage) == 'legacy'

if valid and copy == 'whole' then
  if same(KEYS[1], KEYS[2]) then
    if not index_fault(workspace, id, enqueued_at) then return {'ok', 'equal'} end
    index_late(workspace, id, enqueued_at)
    if index_fault(workspace, id, enqueued_at) then return {'impossible', 'index_type'} end
    return {'ok', 'indexed'}
  end
  index_late(workspace, id, legacy_right and enqueued_at or copy_enqueued_at)
  if legacy_right then carry(KEYS[1], KEYS[2]) else carry(KEYS[2], KEYS[1]) end
  return {'ok', 'overwritten'}
end
if valid then
  if copy == 'other' then return {'impossible', 'other_type'} end
  index_late(workspace, id, enqueued_at)
  carry(KEYS[1], KEYS[2])
  return {'ok', 'copied'}
end
if copy ~= 'whole' then return {'ok', 'gone'} end
if state == 'invalid' then return {'impossible', 'quarantined_' .. fault} end
if legacy_right then
  call('DEL', KEYS[2])
  typed('ZREM', KEYS[3], id)
  end_claim(workspace, id)
  return {'ok', 'removed'}
end
if state == 'valid' then return {'impossible', 'id_of_another_workspace'} end
index_late(workspace, id, copy_enqueued_at)
carry_back(workspace, id)
return {'ok', 'copied_back'}
