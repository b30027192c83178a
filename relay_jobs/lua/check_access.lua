-- Which of the commands that change jobs this user may not run: a script that fails in its middle is not rolled back.
-- KEYS:
-- ARGV: legacy copy, workspace copy, queue, index, claims, claimants (any names below their prefixes): as keys they
--       would be refused before the script could tell which
-- Returns: {'ok', number of commands, denied command, ...}
local needed = {
  {'HSET', ARGV[1], 'f', 'v'}, {'HSET', ARGV[2], 'f', 'v'}, {'COPY', ARGV[1], ARGV[2], 'REPLACE'},
  {'COPY', ARGV[2], ARGV[1], 'REPLACE'}, {'DEL', ARGV[1]}, {'DEL', ARGV[2]}, {'PEXPIREAT', ARGV[1], '1'},
  {'PEXPIREAT', ARGV[2], '1'}, {'RPUSH', ARGV[3], 'v'}, {'LPOP', ARGV[3]}, {'ZADD', ARGV[4], '1', 'm'},
  {'ZREM', ARGV[4], 'm'}, {'ZADD', ARGV[5], '1', 'm'}, {'ZREM', ARGV[5], 'm'}, {'HSET', ARGV[6], 'f', 'v'},
  {'HDEL', ARGV[6], 'f'}, {'SET', K.walk_sequence, 'v'}, {'INCR', K.walk_sequence}, {'PEXPIRE', K.walk_sequence, '1'},
}
local reply = {'ok', #needed}
-- fakeredis has no access control.
if redis.acl_check_cmd then
  for _, command in ipairs(needed) do
    if not redis.acl_check_cmd(unpack(command)) then reply[#reply + 1] = command[1] .. ' ' .. command[2] end
  end
end
return reply
