#!lua flags=allow-oom
-- An answer that is to be stored is not to be any more, and is not found from here on. One that waits or runs is cancelled. It stays among
-- those that are to be stored until a gateway has seen to it that it is not: another one may be about to store it.
-- ARGV: id
-- Returns 1, or 0 where it does not wait to be stored.
local id = ARGV[1]
if not redis.call('ZSCORE', KEY.unarchived, id) or redis.call('EXISTS', ticket(id)) == 0 then return 0 end
redis.call('HSET', ticket(id), 'removed', 1)
redis.call('HDEL', ticket(id), 'deserted')
redis.call('DEL', KEY.given .. id)
cancel(id)
return 1
