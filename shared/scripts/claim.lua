#!lua flags=allow-oom
-- A permit was moved to the intermediate list, or nothing has come for a while: make execution `exec` the owner of the next job.
-- ARGV: model, the permit or '', exec, lease in milliseconds, worker
-- Returns {id, events emitted so far, executions so far, the encoded `Accepted`, milliseconds that it waited} of the job that is this
--         execution's, the same when the command is resent; {''} when nothing waits that can be run.
local REMEMBERED = 86400 -- seconds, or a minute beyond the job's end: a duplicate takes no second job
local model, permit, exec, lease, worker = unpack(ARGV)
local mark = 'iq:exec:' .. exec
redis.call('LREM', 'rq:queue:' .. model .. ':intermediate', 0, permit) -- doubled ones too
redis.call('ZREM', 'iq:limbo:' .. model, permit)
local id = redis.call('GET', mark)
if id == '' or id and redis.call('HGET', ticket(id), 'exec') ~= exec then return { '' } end
if not id then
  adopt(model, permit)
  local job = choose(model, function(each) return runnable(model, each) end)
  if not job then
    redis.call('SET', mark, '', 'EX', 60)
    return { '' }
  end
  id = job.id
  redis.call('SET', mark, id, 'EX', REMEMBERED)
  charge(model, id, job.place)
  redis.call('HSET', ticket(id), 'state', 'in_progress', 'exec', exec, 'worker', worker, 'started', now)
  redis.call('HINCRBY', ticket(id), 'tries', 1)
  redis.call('HSET', 'rq:job:' .. id, 'status', 'started', 'worker_name', worker)
  redis.call('ZREM', 'iq:deadlines:' .. model, id)
  redis.call('ZADD', 'iq:leases:' .. model, now + lease, id)
  redis.call('ZADD', 'rq:wip:' .. model, '+inf', id .. ':' .. exec)
  offer(model, id, job.place)
end
local t = redis.call('HMGET', ticket(id), 'seq', 'tries', 'started', 'created')
return { id, tonumber(t[1]), tonumber(t[2]), accepted(id), t[3] - t[4] }
