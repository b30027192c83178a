-- Gives a lease back.
-- KEYS: lease
-- ARGV: holder
-- Returns: {'ok', '1' if it was held by this holder}
if call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return {'ok', '0'} end
return {'ok', integer(call('DEL', KEYS[1]))}
