-- Takes or renews a lease.
-- KEYS: lease
-- ARGV: holder, milliseconds
-- Returns: {'ok'} | {'held', holder, ms left}
local holder = other_holder(KEYS[1], ARGV[1])
if holder then return {'held', holder, call('PTTL', KEYS[1])} end
-- A server without memory refuses to take it anew, but not to keep it.
if call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then take_lease(KEYS[1], ARGV[1], ARGV[2]) end
return {'ok'}
