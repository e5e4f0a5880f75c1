#!lua flags=allow-oom
-- A client waits for the job no longer. When it was the last one, and nobody was promised the job, the job is cancelled: at once, or
-- after `linger` milliseconds in which the same client may come again and join it. One that has ended meanwhile waits for it too.
-- ARGV: id, the id that its request came with, reply stream of its gateway, linger, fingerprint of the request,
--       the client's count of attempts
-- Returns the job's state after it, '' when there is no such job.
local MOST_ORPHANS = 1000 -- of one request; those left before are not found by their clients any more
local id, visitor, reply, linger, fingerprint, attempt = unpack(ARGV)
linger = tonumber(linger)
local t = redis.call('HMGET', ticket(id), 'state', 'model')
local over = t[1] == 'completed' and linger > 0
if t[1] ~= 'queued' and t[1] ~= 'in_progress' and not over then return t[1] or '' end
local name = visitor .. '@' .. reply
dismiss(id, function(other) return other == name end)
if not abandoned(id) then return t[1] end
if linger == 0 then return desert(id) end
if not over then redis.call('ZADD', KEY.lingering .. t[2], now + linger, id) end
reclaim(id)
local orphans = fingerprint .. ':' .. attempt
redis.call('HSET', ticket(id), 'orphan', orphans)
for _ = 1, 2 do -- one more than comes, so that it does not grow: of those that ended long ago
  local oldest = redis.call('LINDEX', KEY.orphans .. orphans, 0)
  local ended = oldest and redis.call('HGET', ticket(oldest), 'ended')
  if not oldest or joinable(oldest) and not (ended and now - ended > LONGEST_LINGER) then break end
  redis.call('LPOP', KEY.orphans .. orphans)
end
redis.call('RPUSH', KEY.orphans .. orphans, id)
redis.call('LTRIM', KEY.orphans .. orphans, -MOST_ORPHANS, -1)
if redis.call('PTTL', KEY.orphans .. orphans) < linger then redis.call('PEXPIRE', KEY.orphans .. orphans, linger) end
return t[1]
