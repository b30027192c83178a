-- Sets the controls, without memory too: a script that has begun to write is not stopped for want of it.
-- KEYS: control
-- ARGV: field, value ...
-- Returns: {'ok'}
call('HDEL', KEYS[1], 'why')
call('HSET', KEYS[1], unpack(ARGV))
return {'ok'}
