-- Counts what a server holds, along one SCAN step: both schemas by workspace, faults, the third generation; reads only.
-- KEYS:
-- ARGV: SCAN cursor, SCAN count, samples at most
-- Returns: {'ok', next cursor, {name, count, ...}, {id, workspace, reason, ...}, {legacy key to weigh}}
local step = call('SCAN', ARGV[1], 'MATCH', string.sub(K.scoped, 1, -2) .. '*', 'COUNT', ARGV[2])
local counts, samples, weigh = {}, {}, {}
local function count(name) counts[name] = (counts[name] or 0) + 1 end
for _, key in ipairs(step[2]) do
  if string.sub(key, 1, #K.legacy) == K.legacy then
    local id = id_of(key)
    local state, workspace, fault = legacy_state(id)
    if state == 'valid' then
      count('legacy:' .. workspace)
      weigh[1] = key
    elseif state == 'invalid' then
      count('invalid:' .. fault)
      if #samples < tonumber(ARGV[3]) * 3 then
        for _, part in ipairs({id, workspace or '', fault}) do samples[#samples + 1] = part end
      end
    end
  elseif string.sub(key, 1, #K.scoped) == K.scoped then
    local workspace, id = parse_scoped(key)
    local state = workspace and scoped_state(workspace, id) or 'other'
    if state == 'whole' then
      count('workspace:' .. workspace)
    elseif state == 'partial' then
      count('partial:' .. workspace)
    elseif state == 'other' then
      -- A string is an older job whose id holds a colon, unless a job's copy is to stand there.
      local older = not workspace or call('TYPE', key).ok == 'string'
      if older and workspace then
        local owner_state, owner = legacy_state(id)
        older = not (owner_state == 'valid' and owner == workspace)
      end
      count(older and 'third_generation' or 'other_type')
    end
  end
end
local tally = {}
for name, number in pairs(counts) do tally[#tally + 1], tally[#tally + 2] = name, integer(number) end
return {'ok', step[1], tally, samples, weigh}
