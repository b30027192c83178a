-- Moves a scope along its rungs in one step, if it still stands where the mover looked.
-- KEYS: stages, history, sealed and not reversed
-- ARGV: workspace or '*', stage it stands on ('' if none is recorded), stage of all others ('' if none is recorded),
--       epoch, JSON event, server process or '' for any, stages passed ...
-- Returns: {'ok', epoch} | {'moved', stage, epoch}
local scope, stood, default, seen_epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local stands = call('HGET', KEYS[1], scope) or ''
local epoch = call('HGET', KEYS[1], '*epoch') or '0'
-- A workspace without a stage of its own stands where all others stand.
local inherits = stood == '' and scope ~= '*'
local moved = inherits and (call('HGET', KEYS[1], '*') or '') ~= default
if ARGV[6] ~= '' and ARGV[6] ~= server_process() then moved = true end
if moved or stands ~= stood or epoch ~= seen_epoch then return {'moved', stands, epoch} end
local before = inherits and default or stood
if before == '' then before = 'legacy' end
-- Down it goes without memory too: a script that has begun to write is not stopped for want of it.
if #ARGV > 6 and ladder(ARGV[#ARGV]).rung < ladder(before).rung then call('LTRIM', KEYS[2], 0, 9999) end
if inherits and call('HEXISTS', KEYS[3], '*') == 1 then call('HSET', KEYS[3], scope, '1') end
for i = 7, #ARGV do
  local stage = ARGV[i]
  -- Whoever enters dual-write anew may have missed updates: what was proven before no longer counts.
  if before == 'legacy' and ladder(stage).scoped then epoch = integer(call('HINCRBY', KEYS[1], '*epoch', 1)) end
  if stage == 'sealed' then call('HSET', KEYS[3], scope, '1') end
  -- Processes without the library are supported there, so they may come back: it is no longer stated that none is left.
  if stage == 'dual_write' and ladder(before).rung > ladder(stage).rung then
    local time = call('TIME')
    call('HSET', K.withdrawn, scope, time[1] .. '.' .. string.format('%06d', time[2]))
    -- What they enqueue is in no index: what was indexed before counts no more, nor does a pass that is under way.
    if scope == '*' then call('DEL', K.indexed) else call('HSET', K.indexed, scope, 'withdrawn') end
    call('HSET', K.indexed, '*withdrawn', integer(call('INCR', K.fence)))
  end
  if ladder(stage).rung < ladder('new_only').rung then call('HDEL', KEYS[3], scope) end
  call('HSET', KEYS[1], scope, stage)
  before = stage
end
call('LPUSH', KEYS[2], ARGV[5])
call('LTRIM', KEYS[2], 0, 9999)
return {'ok', epoch}
