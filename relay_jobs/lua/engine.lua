-- Rules of the engines: which server process this is, what a scope covers, and the books of one step.

-- Identity of the server process: a SCAN cursor means nothing on another one.
local function server_process()
  return string.match(call('INFO', 'server'), 'run_id:(%w+)') or ''
end

local function epoch() return call('HGET', K.stages, '*epoch') or '0' end

-- Whether a scope went back to dual_write since a pass was begun: processes without the library may be there again.
local function withdrawn_since(generation)
  return tonumber(call('HGET', K.indexed, '*withdrawn') or '0') > (tonumber(generation) or 0)
end

-- Workspaces of a scope, given as a comma-separated list; nil for all.
local function parse_scope(text)
  if text == '' then return nil end
  local chosen = {}
  for workspace in string.gmatch(text, '[^,]+') do chosen[workspace] = true end
  return chosen
end

-- A stage look-up for many jobs in one step; with many stages on record it asks for one workspace at a time.
local function stage_cache(flag_stage)
  local known, all = {}, nil
  if call('HLEN', K.stages) <= 100 then all = by_field(call('HGETALL', K.stages)) end
  return function(workspace)
    if all then return all[workspace] or all['*'] or flag_stage end
    if not known[workspace] then known[workspace] = stage_of(workspace, flag_stage) end
    return known[workspace]
  end
end

local function id_of(key) return string.sub(key, #K.legacy + 1) end

-- Workspace and id in the name of a workspace copy; nil for another generation's key.
local function parse_scoped(key)
  return string.match(string.sub(key, #K.scoped + 1), '^([A-Za-z0-9][A-Za-z0-9_%-]*):(.+)$')
end

local function add_to(key, numbers)
  for name, number in pairs(numbers) do call('HINCRBY', key, name, number) end
end

-- Labels of workspaces in the metrics: the first ones get their own for good, so that no counter ever goes down.
local function metric_labels(by_workspace, most)
  local names, labels = {}, {}
  for workspace in pairs(by_workspace) do names[#names + 1] = workspace end
  -- In portions that a command's arguments have room for.
  for first = 1, #names, 1000 do
    local last = math.min(first + 999, #names)
    local known = call('SMISMEMBER', K.labels, unpack(names, first, last))
    for i = first, last do
      local own = names[i] == '_invalid' or known[i - first + 1] == 1
      if not own and call('SCARD', K.labels) < most then
        call('SADD', K.labels, names[i])
        own = true
      end
      labels[names[i]] = own and names[i] or '_other'
    end
  end
  return labels
end

-- Indexes a job by the end of the step, with the others of its workspace. The first one goes at once, so that a job
-- whose index may not be written is not copied; and so does every one that a listing under way has to know of.
local entries = {}
local function index_by_the_end(workspace, id, enqueued_at)
  local own = entries[workspace]
  if own and not is_listed(workspace) then
    own[#own + 1] = score_of(enqueued_at)
    own[#own + 1] = id
  else
    index_late(workspace, id, enqueued_at)
    entries[workspace] = own or {}
  end
end

local function write_entries()
  for workspace, own in pairs(entries) do
    for first = 1, #own, 1000 do typed('ZADD', K.index .. workspace, unpack(own, first, math.min(first + 999, #own))) end
  end
end

-- Seconds of a processor that the server has had, 0 if it does not say: in a script TIME stands still, INFO does not.
local function seconds_of_server()
  local said = call('INFO', 'cpu')
  return (string.match(said, 'used_cpu_user:([%d.]+)') or 0) + (string.match(said, 'used_cpu_sys:([%d.]+)') or 0)
end

-- Whether so many microseconds have gone by since now, by a clock that runs while a script does: Valkey has os.clock.
-- Redis 7.0 has INFO, which costs half as much as a job, and the time to live of a walk's lease, in milliseconds: asked
-- often, behind each job, it looks at the lease each time, and at INFO behind the first job and every fourth from there
-- on. Where no lease is held, as in a dry run, it looks at INFO each time.
local function stopwatch(microseconds)
  local os = rawget(_G, 'os')
  if os and os.clock then
    local over = os.clock() + microseconds / 1000000
    return function() return os.clock() >= over end
  end
  local over, began, asked = seconds_of_server() + microseconds / 1000000, call('PTTL', K.lease), 0
  local expiring = began - microseconds / 1000 - 1
  return function(often)
    if began > 0 and call('PTTL', K.lease) < expiring then return true end
    if not often or began <= 0 then return seconds_of_server() >= over end
    asked = asked + 1
    return asked % 4 == 1 and seconds_of_server() >= over
  end
end

local function never() return false end

local function at_end(cursor) return cursor == '0' end

-- Keys by SCAN, and the cursor behind them: several steps of it, for most keys may be others'.
local function scan_some(cursor, pattern, count, ended, time_is_over)
  local found, rounds = {}, 0
  repeat
    local step = call('SCAN', cursor, 'MATCH', pattern, 'COUNT', count - #found)
    cursor, rounds = step[1], rounds + 1
    for _, key in ipairs(step[2]) do found[#found + 1] = key end
  until #found >= count * 0.9 or rounds >= 40 or ended(cursor) or time_is_over()
  return cursor, found
end

local PENDING_LOST = 'its list of scanned keys is gone'

-- The code of an error reply, never its text: that may name more than it should.
local function error_code(failure)
  local text = type(failure) == 'table' and failure.err or tostring(failure)
  -- Inside a script a denied command or key is a plain error: Valkey's words, then Redis 7.0's.
  for _, words in ipairs({'ACL failure', 'The user executing the script'}) do
    if string.find(text, words, 1, true) then return 'NOPERM' end
  end
  return string.match(text, '([A-Z][A-Z]+) ') or 'ERR'
end
