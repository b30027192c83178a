-- Finds workspace copies without a legacy job, along a SCAN step or for given pairs; reads only.
-- KEYS:
-- ARGV: server process, scope, flag stage, '1' if workspaces in stage legacy are left out, SCAN cursor, SCAN count,
--       microseconds after which it scans no more or '', then workspaces and ids instead of a SCAN step
-- Returns: {'ok', next cursor, {name, count, ...}, {id, workspace, finding, reason, '', ...}, {}, {}} | {'void'}
if ARGV[1] ~= server_process() then return {'void'} end
local chosen, stage, leave_out = parse_scope(ARGV[2]), stage_cache(ARGV[3]), ARGV[4] == '1'
local cursor, pairs_to_check = ARGV[5], {}
if #ARGV > 7 then
  for i = 8, #ARGV, 2 do pairs_to_check[#pairs_to_check + 1] = {ARGV[i], ARGV[i + 1]} end
else
  local only = nil
  if chosen then
    local workspace = next(chosen)
    if next(chosen, workspace) == nil then only = workspace end
  end
  local found
  local pattern = K.scoped .. (only and only .. ':' or '') .. '*'
  local time_is_over = ARGV[7] ~= '' and stopwatch(tonumber(ARGV[7])) or never
  cursor, found = scan_some(cursor, pattern, tonumber(ARGV[6]), at_end, time_is_over)
  for _, key in ipairs(found) do
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
    local state, owner = legacy_state(id)
    local copy, enqueued_at
    -- What a legacy job has at its name is the other direction's.
    if state ~= 'valid' or owner ~= workspace then copy, enqueued_at = scoped_state(workspace, id) end
    if copy == 'whole' then
      -- In sealed the legacy schema is no longer written: workspace copies alone are normal there.
      if stage(workspace) ~= 'sealed' then
        report(id, workspace, 'extra', state)
      elseif index_fault(workspace, id, enqueued_at) then
        report(id, workspace, 'unindexed', 'sealed')
      else
        count('sealed')
      end
    elseif copy == 'other' and call('TYPE', scoped_key(workspace, id)).ok == 'string' then
      count('third_generation')
    elseif copy == 'other' or copy == 'partial' then
      report(id, workspace, 'malformed', copy)
    end
  end
end
local tally = {}
for name, number in pairs(counts) do tally[#tally + 1], tally[#tally + 2] = name, integer(number) end
return {'ok', cursor, tally, suspects, {}, {}}
