-- Rules of the engines: which server process this is, what a scope covers, and the books of one step.

-- Identity of the server process: a SCAN cursor means nothing on another one.
local function server_process()
  return string.match(call('INFO', 'server'), 'run_id:(%w+)') or ''
end

local function epoch() return call('HGET', K.stages, '*epoch') or '0' end

-- Workspaces of a scope, given as a comma-separated list; nil for all.
local function parse_scope(text)
  if text == '' then return nil end
  local chosen = {}
  for workspace in string.gmatch(text, '[^,]+') do chosen[workspace] = true end
  return chosen
end

-- A stage look-up that asks once a step for each workspace.
local function stage_cache(flag_stage)
  local known = {}
  return function(workspace)
    if not known[workspace] then known[workspace] = stage_of(workspace, flag_stage) end
    return known[workspace]
  end
end

local function id_of(key) return string.sub(key, #K.legacy + 1) end

-- Workspace and id in the name of a workspace copy; nil for another generation's key.
local function parse_scoped(key)
  return string.match(string.sub(key, #K.scoped + 1), '^([A-Za-z0-9][A-Za-z0-9_%-]*):(.+)$')
end

-- Label of a workspace in the metrics: the first ones get their own for good, so that no counter ever goes down.
local function metric_label(workspace, most)
  if workspace == '_invalid' or call('SISMEMBER', K.labels, workspace) == 1 then return workspace end
  if call('SCARD', K.labels) >= most then return '_other' end
  call('SADD', K.labels, workspace)
  return workspace
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
