#!lua flags=allow-oom
-- A permit was taken, or nothing has come for a while: make execution `exec` the owner of the next job.
-- ARGV: model, the permit or '', exec, lease in milliseconds, worker
-- Returns {id, events emitted so far, executions so far, the encoded `Accepted`, milliseconds that it waited, those since it was put
--         back or else accepted, the execution before if its worker died or '', milliseconds for which that had the job} of the job
--         that is this execution's, the same when the command is resent; {'', 0} when nothing waits that can be run, or that job has
--         ended since; {'', milliseconds} when all that might be begun is left for other workers for so long.
local model, permit, exec, lease, worker = unpack(ARGV)

-- Take note of who is given a job: its reader, another one although that is ready, or any, since nobody has read its prompt; and of how
-- long it waited from when it was left for its reader.
local function count_placement(id)
  local t = redis.call('HMGET', ticket(id), 'trail', 'left', 'back')
  local who, left = note_reader(model, worker, t[1]), tonumber(t[2])
  count(model, 'placed:' .. (who == worker and 'reader' or who and 'other' or 'any'), 1)
  if not left or left < tonumber(t[3] or 0) then return end -- not, or before an earlier execution
  count_wait(model, 'left', math.max(0, now - left))
end

local mark = KEY.exec .. exec
redis.call('LREM', KEY.rq_queue .. model .. ':intermediate', 0, permit) -- doubled ones too
redis.call('ZREM', KEY.limbo .. model, permit)
local id = redis.call('GET', mark)
local known = id and redis.call('HMGET', ticket(id), 'exec', 'ended')
local left_until = string.match(id or '', '^:(%d+)$') -- sent again, it is answered alike
if left_until then return { '', math.max(1, left_until - now) } end
if id == '' or known and (known[1] ~= exec or known[2]) then return { '', 0 } end
if not id then
  adopt(model, permit)
  local placed = several(model)
  local job, pause = choose(model, placed and worker, function(each) return runnable(model, each) end)
  if not job then
    redis.call('SET', mark, pause and ':' .. now + pause or '', 'EX', REMEMBERED)
    return { '', pause or 0 }
  end
  id = job.id
  redis.call('SET', mark, id, 'PX', DAY) -- its end makes this shorter
  swap(model, permit, id)
  charge(model, job)
  if redis.call('HDEL', ticket(id), 'preempt') == 1 then withhold(model, id) end -- version 0.1.0 has put it back since
  redis.call('HSET', ticket(id), 'state', 'in_progress', 'exec', exec, 'worker', worker, 'started', now)
  redis.call('HINCRBY', ticket(id), 'tries', 1)
  redis.call('HSET', KEY.rq_job .. id, 'status', 'started', 'worker_name', worker)
  redis.call('ZREM', KEY.deadlines .. model, id)
  redis.call('ZADD', KEY.leases .. model, now + lease, id)
  redis.call('ZADD', KEY.rq_wip .. model, '+inf', id .. ':' .. exec)
  offer(model, id, job.place)
  if placed then
    count_placement(id)
    -- It had a permit of the worker's own beside its other one: no more are there than jobs that wait.
    if redis.call('LLEN', KEY.rq_queue .. model) > redis.call('ZCARD', KEY.deadlines .. model) then redis.call('RPOP', KEY.rq_queue .. model) end
  end
end
local t = redis.call('HMGET', ticket(id), 'seq', 'tries', 'started', 'created', 'back', 'lost')
local lost, began = string.match(t[6] or '', '^(.*):(%d+)$')
return { id, tonumber(t[1]), tonumber(t[2]), accepted(id), t[3] - t[4], t[3] - (t[5] or t[4]), lost or '', lost and t[5] - began or 0 }
