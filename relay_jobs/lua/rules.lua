-- Rules that all scripts share: what is valid, what is whole, which stage is in force, what an update writes.

-- How long a listing that walks index and keyspace may rest between two pages, in milliseconds.
local WALK_TTL = 3600000

-- The largest score of the listing index: the year 2255.
local SCORE_MAX = 9007199254740991

local call = redis.call

-- A reply that may be a wrong-type error: nil then, every other error is raised.
local function typed(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    if string.find(tostring(reply.err), 'WRONGTYPE', 1, true) then return nil end
    error(reply)
  end
  return reply
end

local function now_ms()
  local time = call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local workspaces = {}
local function is_workspace(text)
  local known = workspaces[text]
  if known == nil then
    known = #text <= 64 and string.find(text, '^[A-Za-z0-9][A-Za-z0-9_%-]*$') ~= nil
    workspaces[text] = known
  end
  return known
end

local function is_id(text)
  return #text >= 1 and #text <= ID_MAX and not string.find(text, '%c')
end

local function legacy_key(id) return K.legacy .. id end
local function scoped_key(workspace, id) return K.scoped .. workspace .. ':' .. id end

-- The stage in force for a workspace: recorded for it, recorded for all others, else what the process's flags say.
local function stage_of(workspace, flag_stage)
  local recorded = call('HMGET', K.stages, workspace, '*')
  return recorded[1] or recorded[2] or flag_stage
end

-- Whether a workspace was in sealed, and its legacy copies were not written back since.
local function unreversed(workspace)
  local scope = call('HEXISTS', K.stages, workspace) == 1 and workspace or '*'
  return call('HEXISTS', K.unreversed, scope) == 1
end

-- The stage a process reads by: READ_PREFERS_NEW=off goes by the legacy copy wherever it is written, and was all along.
local function reading_stage(stage, reads_legacy, workspace)
  if reads_legacy ~= '1' then return stage end
  if not ladder(stage).legacy then return nil end
  if unreversed(workspace) then return nil end
  if ladder(stage).rung > ladder('dual_write').rung then return 'dual_write' end
  return stage
end

-- Why a legacy job is not valid, given what its hash says of itself; nil if it is.
local function fault_of(id, workspace, job_id)
  if not workspace or workspace == '' then return 'no_workspace' end
  if not is_workspace(workspace) then return 'bad_workspace' end
  if not is_id(id) then return 'bad_id' end
  if job_id and job_id ~= id then return 'id_mismatch' end
  return nil
end

-- A legacy job: its state ('absent', 'valid', 'invalid'), workspace or nil, reason if invalid, enqueued_at, status.
local function legacy_state(id, known_key)
  local key = known_key or legacy_key(id)
  local head = typed('HMGET', key, 'workspace_id', 'job_id', 'enqueued_at', 'status')
  if not head then return 'invalid', nil, 'wrong_type' end
  if not head[1] and not head[2] and not head[4] and call('EXISTS', key) == 0 then return 'absent' end
  local fault = fault_of(id, head[1], head[2])
  local workspace = head[1] and is_workspace(head[1]) and head[1] or nil
  if fault then return 'invalid', workspace, fault end
  return 'valid', workspace, nil, head[3], head[4]
end

-- A workspace copy: 'absent', 'whole', 'partial' (a hash that is no copy) or 'other' (no hash); and its status.
local function scoped_state(workspace, id)
  local key = scoped_key(workspace, id)
  local head = typed('HMGET', key, 'workspace_id', 'job_id', 'enqueued_at', 'status')
  if not head then return 'other' end
  if head[1] == workspace and (not head[2] or head[2] == id) then return 'whole', head[3], head[4] end
  if not head[1] and not head[2] and not head[4] and call('EXISTS', key) == 0 then return 'absent' end
  return 'partial'
end

-- Where a job is by the order in which a stage reads: side, status, enqueued_at; nil if it is unknown there, as is one
-- whose id nobody can ask for.
local function locate(stage, workspace, id)
  if not is_id(id) then return nil end
  for _, side in ipairs({read_order(stage)}) do
    if side == 'legacy' then
      local state, owner, _, enqueued_at, status = legacy_state(id)
      if state == 'valid' and owner == workspace then return side, status or '', enqueued_at end
    else
      local state, enqueued_at, status = scoped_state(workspace, id)
      if state == 'whole' then return side, status or '', enqueued_at end
    end
  end
  return nil
end

local function status_of(text)
  text = ALIASES[text] or text
  if text == 'running' or TERMINAL[text] then return text end
  return 'pending'
end

-- Days since 1970 of a date, by its text: the jobs of one step share a few.
local days_of = {}
local function days_since_1970(date)
  local days = days_of[date]
  if days then return days end
  local y, mo, d = string.match(date, '^(%d%d%d%d)%-(%d%d)%-(%d%d)$')
  if not y then return nil end
  y, mo, d = tonumber(y), tonumber(mo), tonumber(d)
  if mo <= 2 then y = y - 1 end
  local era = math.floor(y / 400)
  local year = y - era * 400
  local day = math.floor((153 * (mo + (mo > 2 and -3 or 9)) + 2) / 5) + d - 1
  days = era * 146097 + year * 365 + math.floor(year / 4) - math.floor(year / 100) + day - 719468
  days_of[date] = days
  return days
end

-- Seconds east of UTC of what stands behind the seconds of a time.
local function offset_of(zone)
  if zone == '' or zone == 'Z' or zone == '+00:00' then return 0 end
  local sign, hours, minutes = string.match(zone, '([+-])(%d%d):?(%d%d)$')
  if not sign then return 0 end
  return (sign == '-' and -1 or 1) * (tonumber(hours) * 3600 + tonumber(minutes) * 60)
end

-- Beyond it a double is no exact integer, and the server would write it with an exponent.
local function in_range(score) return math.max(-SCORE_MAX, math.min(score, SCORE_MAX)) end

-- Microseconds since 1970 of any ISO 8601 text, 0 if it is none.
local function microseconds_of(text)
  local days = text and days_since_1970(string.sub(text, 1, 10))
  if not days then return 0 end
  local h, mi, s, fraction, zone = string.match(text, '^[T ](%d%d):(%d%d):(%d%d)[.,]?(%d*)(.*)$', 11)
  if not h then return 0 end
  local seconds = days * 86400 + h * 3600 + mi * 60 + s - offset_of(zone)
  local score = seconds * 1000000
  if fraction ~= '' then score = score + tonumber(string.sub(fraction .. '00000', 1, 6)) end
  return in_range(score)
end

-- The score of the listing index. A time of UTC as the library writes it is read in one look, all others at length.
local WRITTEN = '^(%d%d%d%d%-%d%d%-%d%d)T(%d%d):(%d%d):(%d%d)%.(%d%d%d%d%d%d)%+00:00$'
local function score_of(text)
  if text and #text == 32 then
    local date, h, mi, s, fraction = string.match(text, WRITTEN)
    local days = date and days_since_1970(date)
    if days then return in_range((days * 86400 + h * 3600 + mi * 60 + s) * 1000000 + fraction) end
  end
  return microseconds_of(text)
end

-- Numbers as text without an exponent: Lua would write 1.7e+15.
local function integer(number) return string.format('%.0f', number) end

-- Whether a listing of a workspace is under way.
local listed = {}
local function is_listed(workspace)
  if listed[workspace] == nil then listed[workspace] = call('EXISTS', K.walk .. workspace) == 1 end
  return listed[workspace]
end

-- Tells the listings of a workspace that are under way what has happened behind their backs.
local function mark_late(workspace, member)
  if not is_listed(workspace) then return end
  local late = K.late .. workspace
  call('ZADD', late, call('GET', K.walk_sequence) or '0', member)
  call('PEXPIRE', late, WALK_TTL * 2)
end

-- Whether it has happened since a walk began.
local function is_late(workspace, member, walk)
  local late = call('ZSCORE', K.late .. workspace, member)
  return late and tonumber(late) >= walk
end

-- A listing goes on: it is remembered for as long as it may rest, and so is what happens behind its back.
local function keep_walk(workspace)
  call('PEXPIRE', K.walk .. workspace, WALK_TTL)
  call('PEXPIRE', K.late .. workspace, WALK_TTL * 2)
end

-- Indexes a job that was not indexed when it was enqueued; a listing that is under way must know of it.
local function index_late(workspace, id, enqueued_at)
  -- An index of another type is reported by listings; it is no reason to hold up the work.
  local added = typed('ZADD', K.index .. workspace, score_of(enqueued_at), id)
  if added == 1 then mark_late(workspace, id) end
end

-- What is wrong with a job's entry in the listing index: 'unlisted', 'misplaced', or nil.
local function index_fault(workspace, id, enqueued_at)
  local score = typed('ZSCORE', K.index .. workspace, id)
  if not score then return 'unlisted' end
  if tonumber(score) ~= score_of(enqueued_at) then return 'misplaced' end
  return nil
end

-- Copies a whole job with its absolute expiry from one schema to the other, over a partial hash too.
local function carry(from, to)
  call('COPY', from, to, 'REPLACE')
end

-- What is marked late when a job gets its legacy copy from the other one; no id holds a control character.
local function carried_back(id) return '\31' .. id end

-- Copies a whole job to the legacy schema, where a listing that is under way would meet it a second time.
local function carry_back(workspace, id)
  mark_late(workspace, carried_back(id))
  carry(scoped_key(workspace, id), legacy_key(id))
end

-- Field and value pairs of a hash as a table by field.
local function by_field(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

-- Both copies byte for byte in their serialised form, as COPY makes them: half the work of reading them. A copy of a
-- valid job that is the same is whole. If they differ they may still be equal, in another order.
local function identical(left, right) return call('DUMP', left) == call('DUMP', right) end

local function same_expiry(left, right) return call('PEXPIRETIME', left) == call('PEXPIRETIME', right) end

-- Two hashes byte for byte, field order aside.
local function same_fields(left, right)
  if identical(left, right) then return true end
  local a, b = call('HGETALL', left), call('HGETALL', right)
  if #a ~= #b then return false end
  local map = by_field(a)
  for i = 1, #b, 2 do
    if map[b[i]] ~= b[i + 1] then return false end
  end
  return true
end

-- Two hashes and their expiry.
local function same(left, right) return same_fields(left, right) and same_expiry(left, right) end

-- The copies that an update has to write, after carrying the whole job over to a copy that is absent.
local function written_copies(stage, workspace, id, side, enqueued_at)
  local rule, legacy, scoped = ladder(stage), legacy_key(id), scoped_key(workspace, id)
  local right = side == 'legacy' and legacy or scoped
  local keys = {right}
  if side == 'workspace' and rule.legacy then
    local state, owner = legacy_state(id)
    if state == 'absent' then carry_back(workspace, id) end
    if state == 'absent' or (state == 'valid' and owner == workspace) then keys[2] = legacy end
  elseif side == 'legacy' and rule.scoped then
    local state = scoped_state(workspace, id)
    if state == 'absent' or state == 'partial' then
      index_late(workspace, id, enqueued_at)
      carry(right, scoped)
    end
    if state ~= 'other' then keys[2] = scoped end
  end
  return keys
end

-- A lease is a hash that names its holder and expires by itself.
local function take_lease(key, holder, milliseconds)
  call('HSET', key, 'holder', holder)
  call('PEXPIRE', key, milliseconds)
end

-- Who else holds a lease; nil if it is free or one's own.
local function other_holder(key, holder)
  local present = call('HGET', key, 'holder')
  if present and present ~= holder then return present end
  return nil
end

local function claim_member(workspace, id) return '\31' .. workspace .. '\31' .. id end

local function end_claim(workspace, id)
  local member = claim_member(workspace, id)
  local held = call('HGET', K.claimants, member)
  if held then
    call('ZREM', K.claims, member)
    call('HDEL', K.claimants, member, string.match(held, '\31(.*)$') .. '\31' .. id)
  end
end

-- A job as a stage reads it: side, id, and the values of SHOWN; nil if it is unknown there. A copy that is foreign or
-- no copy is none. It names its keys itself: each rule that a script needs is made anew whenever it runs.
local function read_job(stage, workspace, id)
  local side, other = read_order(stage)
  while side do
    local key = side == 'legacy' and K.legacy .. id or K.scoped .. workspace .. ':' .. id
    local found = typed('HMGET', key, 'workspace_id', 'job_id', unpack(SHOWN))
    if found and found[1] == workspace and (not found[2] or found[2] == id) then
      found[1], found[2] = side, id
      return found
    end
    side, other = other, nil
  end
  return nil
end

-- Type of a key that must be of one type or absent; the other type if it is neither.
local function other_type(key, wanted)
  local found = call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then return found end
  return nil
end
