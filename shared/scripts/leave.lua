#!lua flags=allow-oom
-- A client waits for the job no longer. When it was the last one, and nobody was promised the job, the job is cancelled: at once, or
-- after `linger` milliseconds in which the same client may come again and join it.
-- ARGV: id, the id that its request came with, reply stream of its gateway, linger, fingerprint of the request,
--       the client's count of attempts
-- Returns the job's state after it, '' when there is no such job.
local id, visitor, reply, linger, fingerprint, attempt = unpack(ARGV)
linger = tonumber(linger)
local t = redis.call('HMGET', ticket(id), 'state', 'model')
if t[1] ~= 'queued' and t[1] ~= 'in_progress' then return t[1] or '' end
local name = visitor .. '@' .. reply
dismiss(id, function(other) return other == name end)
if not abandoned(id) then return t[1] end
if linger == 0 then return desert(id) end
redis.call('ZADD', KEY.lingering .. t[2], now + linger, id)
local orphans = KEY.orphans .. fingerprint .. ':' .. attempt
redis.call('LREM', orphans, 0, id)
redis.call('RPUSH', orphans, id)
redis.call('PEXPIRE', orphans, linger)
return t[1]
