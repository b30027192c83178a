-- Finds workspace copies without a legacy job, along a SCAN step or for given pairs; reads only.
-- KEYS:
-- ARGV: server process, scope, flag stage, '1' if workspaces in stage legacy are left out, SCAN cursor, SCAN count,
--       then workspaces and ids instead of a SCAN step
-- Returns: {'ok', next cursor, {name, count, ...}, {id, workspace, finding, reason, '', ...}} | {'void'}
if ARGV[1] ~= server_process() then return {'void'} end
local chosen, stage, leave_out = parse_scope(ARGV[2]), stage_cache(ARGV[3]), ARGV[4] == '1'
local cursor, pairs_to_check = ARGV[5], {}
if #ARGV > 6 then
  for i = 7, #ARGV, 2 do pairs_to_check[#pairs_to_check + 1] = {ARGV[i], ARGV[i + 1]} end
else
  local only = nil
  if chosen then
    local workspace = next(chosen)
    if next(chosen, workspace) == nil then only = workspace end
  end
  local step = call('SCAN', cursor, 'MATCH', K.scoped .. (only and only .. ':' or '') .. '*', 'COUNT', ARGV[6])
  cursor = step[1]
  for _, key in ipairs(step[2]) do
    local workspace, id = parse_scoped(key)
    if workspace then
      pairs_to_check[#pairs_to_check + 1] = {workspace, id}
    else
      pairs_to_check[#pairs_to_check + 1] = {nil, key}
    end
  end
end

local counts, suspects = {}, {}
local function count(name) counts[name] = (counts[name] or 0) + 1 end
local function report(id, workspace, finding, reason)
  count(finding)
  for _, part in ipairs({id, workspace, finding, reason, ''}) do suspects[#suspects + 1] = part end
end

for _, pair in ipairs(pairs_to_check) do
  local workspace, id = pair[1], pair[2]
  if not workspace then
    if not chosen then count('third_generation') end
  elseif chosen and not chosen[workspace] then
    count('foreign')
  elseif leave_out and stage(workspace) == 'legacy' then
    count('left_out')
  else
    local copy = scoped_state(workspace, id)
    local state, owner = legacy_state(id)
    local has_job = state == 'valid' and owner == workspace
    if copy == 'whole' and not has_job then
      -- In sealed the legacy schema is no longer written: workspace copies alone are normal there.
      if stage(workspace) == 'sealed' then count('sealed') else report(id, workspace, 'extra', state) end
    elseif copy == 'other' and call('TYPE', scoped_key(workspace, id)).ok == 'string' and not has_job then
      count('third_generation')
    elseif (copy == 'other' or copy == 'partial') and not has_job then
      report(id, workspace, 'malformed', copy)
    end
  end
end
local tally = {}
for name, number in pairs(counts) do tally[#tally + 1], tally[#tally + 2] = name, integer(number) end
return {'ok', cursor, tally, suspects}
