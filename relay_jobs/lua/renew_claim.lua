-- Renews the lease of a worker's claim.
-- KEYS: claims, claimants
-- ARGV: worker, job id, token or '' if the caller does not know it, lease in milliseconds
-- Returns: {'ok', lease end in ms} | {'lost'}
local workspace = call('HGET', KEYS[2], ARGV[1] .. '\31' .. ARGV[2])
if not workspace then return {'lost'} end
local member = claim_member(workspace, ARGV[2])
-- Whoever takes a job over removes its holder's entry, so a token can only be of another claim of the same name.
if ARGV[3] ~= '' and string.match(call('HGET', KEYS[2], member), '^[^\31]*') ~= ARGV[3] then return {'lost'} end
local ends = integer(now_ms() + tonumber(ARGV[4]))
call('ZADD', KEYS[1], ends, member)
return {'ok', ends}
