-- Completes a pass whose partitions are all walked on this server process, in this dual-write epoch.
-- KEYS: progress, passes, indexed
-- ARGV: generation, JSON record, '1' if everything was indexed, workspaces of the scope (or '*'), seconds it took,
--       bounds of the duration histogram in seconds
-- Returns: {'ok', '1' if this call completed it} | {'open', partition, ...} | {'void', reason}
local at = call('HMGET', KEYS[1], 'generation', 'server', 'epoch', 'bits', 'state')
if at[1] ~= ARGV[1] then return {'void', 'the pass was started over'} end
if at[2] ~= server_process() then
  return {'void', 'the server process is another one, on which its cursor means nothing'}
end
if at[3] ~= epoch() then return {'void', 'a workspace has entered dual_write since'} end
local open = {'open'}
for number = 0, 2 ^ tonumber(at[4]) - 1 do
  if call('HEXISTS', KEYS[1], 'done:' .. integer(number)) == 0 then open[#open + 1] = integer(number) end
end
if #open > 1 then return open end
if at[5] == 'complete' then return {'ok', '0'} end
call('HSET', KEYS[1], 'state', 'complete')
local indexed = ARGV[3] == '1' and not withdrawn_since(at[1])
for workspace in string.gmatch(ARGV[4], '[^,]+') do
  call('HSET', KEYS[2], workspace, ARGV[2])
  if indexed then call('HSET', KEYS[3], workspace, at[3]) end
end
if indexed and ARGV[4] == '*' then
  for workspace, what in pairs(by_field(call('HGETALL', KEYS[3]))) do
    if what == 'withdrawn' then call('HDEL', KEYS[3], workspace) end
  end
end
local seconds = tonumber(ARGV[5])
call('HINCRBY', K.counters, 'passes', 1)
call('HINCRBYFLOAT', K.counters, 'passes:seconds', ARGV[5])
for bound in string.gmatch(ARGV[6], '[^,]+') do
  if seconds <= tonumber(bound) then call('HINCRBY', K.counters, 'passes:le:' .. bound, 1) end
end
return {'ok', '1'}
