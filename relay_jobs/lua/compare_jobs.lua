-- Compares legacy jobs with their workspace copies, along a SCAN step or for given ids; reads only.
-- KEYS:
-- ARGV: server process, scope, flag stage, '1' if workspaces in stage legacy are left out, SCAN cursor, SCAN count,
--       microseconds after which it ends or '', then ids to compare instead of a SCAN step
-- Returns: {'ok', next cursor, {name, count, ...}, {id, workspace, finding, reason, fingerprint, ...},
--           {quarantined id, workspace, reason, '1' if acknowledged, ...}, {id left for the next step, ...}} | {'void'}
if ARGV[1] ~= server_process() then return {'void'} end
local chosen, stage, leave_out = parse_scope(ARGV[2]), stage_cache(ARGV[3]), ARGV[4] == '1'
local time_is_over = ARGV[7] ~= '' and stopwatch(tonumber(ARGV[7])) or never
local cursor, keys = ARGV[5], {}
if #ARGV > 7 then
  for i = 8, #ARGV do keys[#keys + 1] = legacy_key(ARGV[i]) end
else
  cursor, keys = scan_some(cursor, K.legacy .. '*', tonumber(ARGV[6]), at_end, time_is_over)
end

-- What differs, as one digest; nil if nothing does. Two readings that differ otherwise are of a job that moves.
local function difference(left, right)
  local own, parts = by_field(call('HGETALL', left)), {}
  local function sized(text) return text and #text .. ':' .. text or '-' end
  local function note(name, a, b)
    if a ~= b then parts[#parts + 1] = sized(name) .. sized(a) .. sized(b) end
  end
  local flat = call('HGETALL', right)
  for i = 1, #flat, 2 do
    note(flat[i], own[flat[i]], flat[i + 1])
    own[flat[i]] = nil
  end
  for name, value in pairs(own) do note(name, value, nil) end
  table.sort(parts)
  return parts[1] and redis.sha1hex(table.concat(parts))
end


local counts, suspects, quarantined = {}, {}, {}
local function count(name) counts[name] = (counts[name] or 0) + 1 end
local compared = 0
for _, key in ipairs(keys) do
  local id = id_of(key)
  local state, workspace, fault, enqueued_at = legacy_state(id, key)
  if state == 'absent' then
    count('gone')
  elseif chosen and not (workspace and chosen[workspace]) then
    count('foreign')
  elseif state == 'invalid' then
    count('quarantined')
    local acknowledged = call('HGET', K.acknowledged, id) == fault and '1' or '0'
    for _, part in ipairs({id, workspace or '', fault, acknowledged}) do quarantined[#quarantined + 1] = part end
  elseif leave_out and stage(workspace) == 'legacy' then
    count('filtered')
  else
    local copy_key, finding, reason, print = scoped_key(workspace, id), 'equal', nil, ''
    local alike = identical(key, copy_key)
    local copy = alike and 'whole' or scoped_state(workspace, id)
    if copy ~= 'whole' then
      finding, reason = 'missing', copy
    elseif not same_expiry(key, copy_key) then
      finding, reason = 'different', 'expiry'
      print = call('PEXPIRETIME', key) .. '/' .. call('PEXPIRETIME', copy_key)
    else
      local differs = not alike and difference(key, copy_key)
      if differs then
        finding, reason, print = 'different', 'content', differs
      else
        reason = index_fault(workspace, id, enqueued_at)
        if reason then finding = 'unindexed' end
      end
    end
    count(finding)
    if reason then
      -- A job without its copy cannot differ halfway: whether it got one is all that a second reading asks.
      for _, part in ipairs({id, workspace, finding, reason, print}) do suspects[#suspects + 1] = part end
    end
  end
  compared = compared + 1
  if time_is_over(true) then break end
end
local left = {}
for i = compared + 1, #keys do left[#left + 1] = id_of(keys[i]) end
local tally = {}
for name, number in pairs(counts) do tally[#tally + 1], tally[#tally + 2] = name, integer(number) end
return {'ok', cursor, tally, suspects, quarantined, left}
