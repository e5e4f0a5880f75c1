#!lua flags=allow-oom
-- Make execution `exec` the owner of a job that was moved to the intermediate list.
-- ARGV: model, id, exec, lease in milliseconds, worker
-- Returns {1, events emitted so far, executions so far, the encoded `Accepted`, milliseconds that it waited} when the job
--         is this execution's, also when the command is resent; {0, 0, 0, '', 0} when there is nothing to run: the entry was a
--         double, or late, or not one of ours, or the job is past its deadline, and has failed now.
local model, id, exec, lease, worker = unpack(ARGV)
local moved = redis.call('LREM', 'rq:queue:' .. model .. ':intermediate', 0, id) -- doubled ones too: a resend finds none
redis.call('ZREM', 'iq:limbo:' .. model, id)
local t = redis.call('HMGET', ticket(id), 'state', 'seq', 'tries', 'exec', 'created', 'deadline', 'started')
local mine = t[4] == exec
if not mine and (moved == 0 or t[1] ~= 'queued') then return { 0, 0, 0, '', 0 } end
if not mine and now >= tonumber(t[6]) then
  expire(model, id)
  return { 0, 0, 0, '', 0 }
end
local tries, started = tonumber(t[3]), t[7]
if not mine then
  tries, started = tries + 1, now
  redis.call('HSET', ticket(id), 'state', 'in_progress', 'exec', exec, 'worker', worker, 'started', now, 'tries', tries)
  redis.call('HSET', 'rq:job:' .. id, 'status', 'started', 'worker_name', worker)
  redis.call('ZREM', 'iq:deadlines:' .. model, id)
  redis.call('ZADD', 'iq:leases:' .. model, now + lease, id)
  redis.call('ZADD', 'rq:wip:' .. model, '+inf', id .. ':' .. exec)
end
return { 1, tonumber(t[2]), tries, accepted(id).e, started - t[5] }
