#!lua flags=allow-oom
-- A client waits for the job no longer. When it was the last one, the job is cancelled: at once, or after `linger` milliseconds
-- in which the same client may come again and join it.
-- ARGV: id, the id that its request came with, linger, fingerprint of the request, the client's count of attempts
-- Returns the job's state after it, '' when there is no such job.
local id, visitor, linger, fingerprint, attempt = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local t = redis.call('HMGET', ticket(id), 'state', 'model')
if t[1] ~= 'queued' and t[1] ~= 'in_progress' then return t[1] or '' end
if await(id, visitor, false) > 0 then return t[1] end
if linger == 0 then return cancel(id) end
redis.call('ZADD', 'iq:lingering:' .. t[2], now + linger, id)
local orphans = 'iq:orphans:' .. fingerprint .. ':' .. attempt
redis.call('RPUSH', orphans, id)
redis.call('PEXPIRE', orphans, linger)
return t[1]
