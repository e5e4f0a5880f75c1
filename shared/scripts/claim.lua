#!lua flags=allow-oom
-- A permit was moved to the intermediate list, or nothing has come for a while: make execution `exec` the owner of the next job.
-- ARGV: model, the permit or '', exec, lease in milliseconds, worker
-- Returns {id, events emitted so far, executions so far, the encoded `Accepted`, milliseconds that it waited, those since it was put
--         back or else accepted, the execution before if its worker died or '', milliseconds for which that had the job} of the job
--         that is this execution's, the same when the command is resent; {''} when nothing waits that can be run, or that job has
--         ended since.
local model, permit, exec, lease, worker = unpack(ARGV)
local mark = KEY.exec .. exec
redis.call('LREM', KEY.rq_queue .. model .. ':intermediate', 0, permit) -- doubled ones too
redis.call('ZREM', KEY.limbo .. model, permit)
local id = redis.call('GET', mark)
local known = id and redis.call('HMGET', ticket(id), 'exec', 'ended')
if id == '' or known and (known[1] ~= exec or known[2]) then return { '' } end
if not id then
  adopt(model, permit)
  local job = choose(model, function(each) return runnable(model, each) end)
  if not job then
    redis.call('SET', mark, '', 'EX', REMEMBERED)
    return { '' }
  end
  id = job.id
  redis.call('SET', mark, id, 'PX', DAY) -- its end makes this shorter
  swap(model, permit, id)
  charge(model, id, job.place)
  if redis.call('HDEL', ticket(id), 'preempt') == 1 then withhold(model, id) end -- version 0.1.0 has put it back since
  redis.call('HSET', ticket(id), 'state', 'in_progress', 'exec', exec, 'worker', worker, 'started', now)
  redis.call('HINCRBY', ticket(id), 'tries', 1)
  redis.call('HSET', KEY.rq_job .. id, 'status', 'started', 'worker_name', worker)
  redis.call('ZREM', KEY.deadlines .. model, id)
  redis.call('ZADD', KEY.leases .. model, now + lease, id)
  redis.call('ZADD', KEY.rq_wip .. model, '+inf', id .. ':' .. exec)
  offer(model, id, job.place)
end
local t = redis.call('HMGET', ticket(id), 'seq', 'tries', 'started', 'created', 'back', 'lost')
local lost, began = string.match(t[6] or '', '^(.*):(%d+)$')
return { id, tonumber(t[1]), tonumber(t[2]), accepted(id), t[3] - t[4], t[3] - (t[5] or t[4]), lost or '', lost and t[5] - began or 0 }
