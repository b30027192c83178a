-- Which commands this user may not run or this server lacks: a script that fails in its middle is not rolled back.
-- KEYS:
-- ARGV: legacy copy, workspace copy, queue, index, claims, claimants (any names below their prefixes): as keys they
--       would be refused before the script could tell which; '1' if the engines' commands count too
-- Returns: {'ok', '1' if no write of a job is allowed, {lacking command, ...}, {denied read, ...}, {denied write, ...}}
local legacy, scoped, queue, index, claims, claimants = unpack(ARGV, 1, 6)
local copies = {
  {'HSET', legacy, 'f', 'v'}, {'HSET', scoped, 'f', 'v'}, {'COPY', legacy, scoped, 'REPLACE'},
  {'COPY', scoped, legacy, 'REPLACE'}, {'DEL', legacy}, {'DEL', scoped}, {'PEXPIREAT', legacy, '1'},
  {'PEXPIREAT', scoped, '1'}, {'RPUSH', queue, 'v'}, {'LPOP', queue}, {'ZADD', index, '1', 'm'}, {'ZREM', index, 'm'},
}
-- Needed only by whoever writes jobs.
local beside = {
  {'ZADD', claims, '1', 'm'}, {'ZREM', claims, 'm'}, {'ZRANGEBYSCORE', claims, '0', '1'}, {'ZSCORE', claims, 'm'},
  {'HSET', claimants, 'f', 'v'}, {'HDEL', claimants, 'f'}, {'HGET', claimants, 'f'}, {'LINDEX', queue, '0'},
  {'SET', K.walk_sequence, 'v'}, {'INCR', K.walk_sequence}, {'PEXPIRE', K.walk_sequence, '1'}, {'TIME'},
}
local reads = {
  {'EVAL', 'return 1', '0'}, {'HMGET', K.stages, 'f'}, {'HGETALL', K.stages}, {'GET', K.walk_sequence},
  {'HMGET', legacy, 'f'}, {'HMGET', scoped, 'f'}, {'HGETALL', legacy}, {'HGETALL', scoped}, {'EXISTS', legacy},
  {'EXISTS', scoped}, {'TYPE', index}, {'ZREVRANGE', index, '0', '1'}, {'ZCOUNT', index, '0', '1'},
  {'ZSCORE', index, 'm'}, {'SCAN', '0'},
}
if ARGV[7] == '1' then
  for _, command in ipairs({
    {'EVAL_RO', 'return 1', '0'}, {'INFO', 'server'}, {'INFO', 'cpu'}, {'TIME'}, {'PEXPIRETIME', legacy},
    {'PEXPIRETIME', scoped}, {'DUMP', legacy}, {'DUMP', scoped}, {'TYPE', scoped},
    {'ZSCORE', index, 'm'}, {'HGET', K.stages, 'f'},
  }) do reads[#reads + 1] = command end
  for _, command in ipairs({
    {'EVALSHA', 'sha', '0'}, {'HSETNX', K.lease, 'f', 'v'}, {'HINCRBY', K.counters, 'f', '1'}, {'PTTL', K.lease},
    {'HINCRBYFLOAT', K.counters, 'f', '1'}, {'SADD', K.labels, 'm'}, {'LPUSH', K.set_aside, 'v'}, {'LLEN', K.set_aside},
    {'LTRIM', K.set_aside, '0', '1'}, {'LRANGE', K.set_aside, '0', '1'}, {'HEXISTS', K.lease, 'f'},
    {'SMISMEMBER', K.labels, 'm'}, {'SCARD', K.labels},
  }) do beside[#beside + 1] = command end
end

local lacking, met = {}, {}
local function denied(commands)
  local names = {}
  for _, command in ipairs(commands) do
    local known, allowed = pcall(redis.acl_check_cmd, unpack(command))
    if not known then
      if not met[command[1]] then lacking[#lacking + 1] = command[1] end
      met[command[1]] = true
    elseif not allowed then
      names[#names + 1] = table.concat(command, ' ', 1, math.min(#command, 2))
    end
  end
  return names
end

-- fakeredis has no access control.
if not redis.acl_check_cmd then return {'ok', '0', {}, {}, {}} end
local unwritable, unread, rest = denied(copies), denied(reads), denied(beside)
local reader = #unwritable == #copies and '1' or '0'
for _, name in ipairs(rest) do unwritable[#unwritable + 1] = name end
return {'ok', reader, lacking, unread, unwritable}
