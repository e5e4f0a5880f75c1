#!lua flags=allow-oom
-- An answer that is to be stored is not to be any more, and is not found from here on. One that waits or runs is cancelled. It stays among
-- those that are to be stored until a gateway has seen to it that it is not: another one may be about to store it. So it may be where the
-- answer is stored already.
-- ARGV: id
-- Returns 1, or 0 where it does not wait to be stored.
local id = ARGV[1]
local waits = redis.call('ZSCORE', KEY.unarchived, id)
if redis.call('HEXISTS', ticket(id), waits and 'state' or 'ended') == 0 then return 0 end
redis.call('HSET', ticket(id), 'removed', 1)
if not waits then return 0 end
redis.call('HDEL', ticket(id), 'deserted')
redis.call('DEL', KEY.given .. id)
cancel(id)
return 1
