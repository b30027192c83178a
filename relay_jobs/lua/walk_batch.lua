-- One step of a pass: identity check, SCAN, copies, index, counters and checkpoint; planned only, it writes nothing.
-- KEYS: progress, pending keys, partition lease, run record, step record
-- ARGV: 'copy' or 'plan', run, owner, token, partition, bits, generation (plan: server process), scope, flag stage,
--       SCAN count and keys to examine at most (0: only stay the holder), lease in milliseconds,
--       rate of this partition or '', samples at most, milliseconds a checkpoint is kept,
--       workspaces with a metric label of their own at most, microseconds after which it ends or '',
--       microseconds to the next step of any walk or '', what holds it back, its turn or '', microseconds of the server
--       that its last step took,
--       then when planning: cursor, budget or '', pending keys
-- Returns: {'ok', 'more' | 'done' | 'limited', cursor, {outcome, count, ...}, {id, workspace, outcome, reason, ...},
--           {pending keys when planning}, budget or '', microseconds to rest, then when copying: its next turn or '',
--           microseconds to it, microseconds that all polite walks have taken} | {'wait', microseconds, 'turn', turn} |
--           {'wait', microseconds, 'held' | 'rps' | 'rps_per_slot'} | {'paused', who, why, since} | {'void', reason} |
--           {'fenced', holder}
local copying = ARGV[1] == 'copy'
local run, owner, token, partition, bits = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local most, lease, slot_rate = tonumber(ARGV[10]), ARGV[11], tonumber(ARGV[12])
local longest, spacing = tonumber(ARGV[16]), tonumber(ARGV[17])
local time = call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local chosen = parse_scope(ARGV[8])
local server = server_process()

local cursor, budget, queue, rate, waiting, told = ARGV[21], tonumber(ARGV[22] or ''), {}, nil, 0, ''
if copying then
  local at = call('HMGET', KEYS[1], 'generation', 'server', 'epoch', 'token:' .. partition, 'cursor:' .. partition,
    'pending:' .. partition)
  if at[1] ~= ARGV[7] then return {'void', 'the pass was started over'} end
  if at[2] ~= server then return {'void', 'the server process is another one, on which its cursor means nothing'} end
  if at[3] ~= epoch() then return {'void', 'a workspace has entered dual_write since'} end
  if at[4] ~= token then return {'fenced', call('HGET', KEYS[3], 'holder') or 'another owner'} end
  local holder = other_holder(K.lease, run)
  if holder then return {'fenced', holder} end
  -- The cursor lies behind these keys: without their list they would be skipped.
  waiting = call('LLEN', KEYS[2])
  if waiting ~= tonumber(at[6] or '0') then return {'void', PENDING_LOST} end
  cursor = at[5] or partition
  budget = tonumber(call('HGET', KEYS[5], 'budget') or '')
  local record = call('HMGET', KEYS[4], 'rps', 'held_by')
  rate, told = tonumber(record[1] or ''), record[2] or ''
elseif ARGV[7] ~= server then
  return {'void', 'the server process is another one, on which its cursor means nothing'}
end

-- Whether a lease was renewed. Not with every step: each write goes to every replica, and to the log on disk. A server
-- without memory refuses to take a lease anew, but not to keep it.
local function keep_lease(key, holder)
  local left = call('PTTL', key)
  if left < 0 then take_lease(key, holder, lease) elseif left < lease / 2 then call('PEXPIRE', key, lease) end
  return left < lease / 2
end

local function renew_leases()
  if keep_lease(K.lease, run) then
    call('PEXPIRE', KEYS[1], ARGV[14])
    call('PEXPIRE', K.bucket, lease * 2)
  end
  keep_lease(KEYS[3], owner)
end

-- Nothing is due so far ahead, but by a clock that was set back since: it would stop all walks.
local CLOCK_SET = 60000000

-- Of all polite walks one step at a time: a tenant's command waits behind one of them, or a long one and the next, not
-- behind a row of them. Every walk has a turn of its own, given when its step before ends, or when it first asks.
-- Returns when the step may begin, until when turns are given, and microseconds that all walks have taken.
local function turn_of_walk(turn)
  local before = call('HMGET', K.bucket, 'row', 'step', 'walked')
  local row, step = tonumber(before[1] or '') or 0, tonumber(before[2] or '') or 0
  -- Who comes late, as after a pause, asks anew.
  if row > now + CLOCK_SET then row, step = now, now end
  if turn and (turn > now + CLOCK_SET or turn < now - math.max(1000000, spacing)) then turn = nil end
  if not turn and row > now or step > now and not (turn and turn > now) then
    -- Walks that are late would come at one moment: one on the heels of another goes to the end of the row.
    if not turn or now - turn > spacing / 5 then
      turn = math.max(row, step)
      -- Without memory the row cannot grow; the step itself will say so.
      redis.pcall('HSET', K.bucket, 'row', integer(turn + spacing))
    else
      turn = step
    end
  end
  return turn or now, row, (tonumber(before[3] or '') or 0) + tonumber(ARGV[20])
end
local row, taken = 0, 0

-- A token bucket as its theoretical arrival time (GCRA); a pause of up to BURST is made up for.
local BURST = 250000
local limits = {}
if copying then
  local control = call('HMGET', K.control, 'paused', 'who', 'why', 'since')
  if control[1] == '1' then
    renew_leases()
    return {'paused', control[2] or '', control[3] or '', control[4] or ''}
  end
  if spacing and most > 0 then
    local turn
    turn, row, taken = turn_of_walk(tonumber(ARGV[19]))
    if turn > now then
      renew_leases()
      return {'wait', integer(turn - now), 'turn', integer(turn)}
    end
  end
  for _, limit in ipairs({{'rps', 'sum', rate}, {'rps_per_slot', KEYS[3], slot_rate}}) do
    if limit[3] then
      local due = tonumber(call('HGET', K.bucket, limit[2]) or '') or now
      if due > now + CLOCK_SET then due = now end
      if due > now then
        renew_leases()
        return {'wait', integer(due - now), limit[1]}
      end
      limits[#limits + 1] = {limit[2], limit[3], due}
      most = math.min(most, math.max(1, math.floor(limit[3] / 10)))
    end
  end
  if most == 0 then
    renew_leases()
    redis.pcall('HSET', KEYS[4], 'held_by', ARGV[18])
    return {'wait', integer(spacing), 'held'}
  end
end

-- A step whose keys are larger than those before it ends when its time is over, after one key at least.
local time_is_over = longest and stopwatch(longest) or never

-- What an earlier step has scanned but not examined comes first, so that any number of keys is a step.
if waiting > 0 then
  queue = call('LRANGE', KEYS[2], 0, most - 1)
elseif not copying then
  for i = 23, #ARGV do queue[#queue + 1] = ARGV[i] end
end
local cut = 2 ^ bits
-- Whether a cursor lies beyond this partition: its low bits are no longer the partition's number.
local function left_partition(next_cursor)
  if next_cursor == '0' then return true end
  if bits == 0 then return false end
  -- A cursor has 64 bits, Lua's numbers 53; 10^12 is a multiple of 2^12, so twelve digits tell the low bits.
  return tonumber(string.sub(next_cursor, -12)) % cut ~= tonumber(partition)
end
local walked = cursor == 'end'
if #queue == 0 and not walked then
  cursor, queue = scan_some(cursor, K.legacy .. '*', most, left_partition, time_is_over)
  if left_partition(cursor) then walked, cursor = true, 'end' end
end
-- SCAN gives whole buckets: a few more than it was asked for are no step of their own.
if waiting == 0 and #limits == 0 and #queue <= most * 1.5 then most = #queue end

local stage = stage_cache(ARGV[9])

local function migrate(workspace, id, from, enqueued_at)
  local to = scoped_key(workspace, id)
  local state
  if copying then
    index_by_the_end(workspace, id, enqueued_at)
    if call('COPY', from, to) == 1 then return 'migrated' end
    if identical(from, to) and same_expiry(from, to) then return 'exists' end
    state = scoped_state(workspace, id)
  else
    state = scoped_state(workspace, id)
    if state == 'absent' then return 'migrated' end
  end
  if state == 'other' then return 'conflict', 'other_type' end
  if state == 'partial' then
    if copying then carry(from, to) end
    return 'migrated'
  end
  if same(from, to) then return 'exists' end
  return 'conflict', 'differs'
end

-- Outcome, reason and workspace of one key; whose it is is known even if it fails.
local whose
local function examine(id, key)
  local state, workspace, fault, enqueued_at = legacy_state(id, key)
  whose = workspace
  if state == 'absent' then return 'gone', nil, nil end
  if chosen and not (workspace and chosen[workspace]) then return 'filtered', nil, workspace end
  if state == 'invalid' then return 'invalid', fault, workspace end
  if stage(workspace) == 'legacy' then return 'filtered', 'legacy', workspace end
  local outcome, reason = migrate(workspace, id, key, enqueued_at)
  return outcome, reason, workspace
end

local by_workspace, samples, examined, quarantined = {}, {}, 0, {}
while examined < #queue and examined < most and (not budget or budget > 0) do
  local key = queue[examined + 1]
  local id = id_of(key)
  whose = nil
  local fine, outcome, reason, workspace = pcall(examine, id, key)
  -- Where every write fails (OOM, READONLY, MISCONF, NOREPLICAS), those of the books below fail too: nothing is written.
  if not fine then outcome, reason, workspace = 'errors', error_code(outcome), whose end
  examined = examined + 1
  local label = workspace or '_invalid'
  local own = by_workspace[label]
  if not own then own = {} by_workspace[label] = own end
  own[outcome] = (own[outcome] or 0) + 1
  if outcome == 'invalid' then quarantined[#quarantined + 1] = {id, reason .. '\31' .. (workspace or '')} end
  if (outcome == 'invalid' or outcome == 'conflict' or outcome == 'errors') and #samples < tonumber(ARGV[13]) * 4 then
    for _, part in ipairs({id, workspace or '', outcome, reason or ''}) do samples[#samples + 1] = part end
  end
  if budget and not (chosen and (outcome == 'filtered' or outcome == 'gone')) then budget = budget - 1 end
  if time_is_over(true) then break end
end

write_entries()

local left = math.max(waiting, #queue) - examined
local state = 'more'
if walked and left == 0 then state = 'done' elseif budget and budget <= 0 then state = 'limited' end

local counts, tally = {scanned = examined > 0 and examined or nil}, {}
for _, own in pairs(by_workspace) do
  for name, number in pairs(own) do counts[name] = (counts[name] or 0) + number end
end
for name, number in pairs(counts) do tally[#tally + 1], tally[#tally + 2] = name, integer(number) end
local budget_text = budget and integer(budget) or ''
if not copying then
  local unexamined = {}
  for i = examined + 1, #queue do unexamined[#unexamined + 1] = queue[i] end
  return {'ok', state, cursor, tally, samples, unexamined, budget_text, 0}
end

local of_partition, of_labels, label_of = {}, {}, metric_labels(by_workspace, tonumber(ARGV[15]))
for name, number in pairs(counts) do of_partition[name .. ':' .. partition] = number end
for workspace, own in pairs(by_workspace) do
  for name, number in pairs(own) do
    local field = name .. ':' .. label_of[workspace]
    of_labels[field] = (of_labels[field] or 0) + number
  end
end
add_to(KEYS[1], of_partition)
add_to(KEYS[5], counts)
add_to(K.counters, of_labels)
for _, record in ipairs(quarantined) do call('HSET', K.quarantine, record[1], record[2]) end
if waiting > 0 then
  call('LTRIM', KEYS[2], examined, -1)
else
  for i = examined + 1, #queue, 1000 do call('RPUSH', KEYS[2], unpack(queue, i, math.min(i + 999, #queue))) end
end
if left > 0 then call('PEXPIRE', KEYS[2], ARGV[14]) end
call('HSET', KEYS[1], 'cursor:' .. partition, cursor, 'pending:' .. partition, left)
if state == 'done' then
  call('HSET', KEYS[1], 'done:' .. partition, owner, 'walked_at', integer(math.floor(now / 1000)))
end
if budget then call('HSET', KEYS[5], 'budget', budget_text) end
local rest = 0
for _, limit in ipairs(limits) do
  local due = math.max(limit[3], now - BURST) + examined * 1000000 / limit[2]
  call('HSET', K.bucket, limit[1], integer(due))
  rest = math.max(rest, due - now)
end
local next_turn, next_in = '', 0
if spacing then
  local turn = math.max(row, now + spacing)
  next_turn, next_in = integer(turn), integer(turn - now)
  call('HSET', K.bucket, 'row', integer(state == 'more' and turn + spacing or turn),
    'step', integer(now + spacing * 0.8), 'walked', integer(taken))
  if ARGV[18] ~= told then call('HSET', KEYS[4], 'held_by', ARGV[18]) end
end
renew_leases()
if state ~= 'more' then
  call('DEL', KEYS[3])
  call('PEXPIRE', K.bucket, lease * 2)
end
return {'ok', state, cursor, tally, samples, {}, budget_text, integer(math.max(0, rest)), next_turn, next_in,
  integer(taken)}
