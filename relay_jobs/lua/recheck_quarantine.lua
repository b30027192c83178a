-- Looks again at quarantined jobs; those that are valid or gone by now are forgotten.
-- KEYS: quarantine, acknowledged
-- ARGV: job ids
-- Returns: {'ok', id, workspace or '', reason, '1' if this reason was acknowledged, ...}
local reply = {'ok'}
for _, id in ipairs(ARGV) do
  local state, workspace, fault = legacy_state(id)
  if state == 'invalid' then
    local known = call('HGET', KEYS[2], id) == fault and '1' or '0'
    for _, part in ipairs({id, workspace or '', fault, known}) do reply[#reply + 1] = part end
  else
    call('HDEL', KEYS[1], id)
    call('HDEL', KEYS[2], id)
  end
end
return reply
