-- Moves a scope along its rungs in one step, if it still stands where the mover looked.
-- KEYS: stages, history, sealed and not reversed
-- ARGV: workspace or '*', stage it stands on ('' if none is recorded), epoch it stands in, JSON event, stages passed ...
-- Returns: {'ok', epoch} | {'moved', stage, epoch}
local scope, stood, seen_epoch = ARGV[1], ARGV[2], ARGV[3]
local stands = call('HGET', KEYS[1], scope) or ''
local epoch = call('HGET', KEYS[1], '*epoch') or '0'
if stands ~= stood or epoch ~= seen_epoch then return {'moved', stands, epoch} end
local before = stood == '' and (call('HGET', KEYS[1], '*') or 'legacy') or stood
for i = 5, #ARGV do
  local stage = ARGV[i]
  -- Whoever enters dual-write anew may have missed updates: what was proven before no longer counts.
  if before == 'legacy' and LADDER[stage].scoped then epoch = integer(call('HINCRBY', KEYS[1], '*epoch', 1)) end
  if stage == 'sealed' then call('HSET', KEYS[3], scope, '1') end
  call('HSET', KEYS[1], scope, stage)
  before = stage
end
call('LPUSH', KEYS[2], ARGV[4])
call('LTRIM', KEYS[2], 0, 9999)
return {'ok', epoch}
