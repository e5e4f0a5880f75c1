-- What the scripts share; put after each script's first line by shared/tickets.py.
--
-- Keys (all scripts; <id> a job, <model> a queue):
--   iq:job:<id>          the ticket, a hash: state model owner created deadline keep seq tries cancel exec worker reply started ended
--   iq:events:<id>       the job's stream; an entry's id is the sequence number of its last event; entry 0-1 is `Accepted`
--   iq:leases:<model>    running jobs by the time at which their lease ends      iq:deadlines:<model>  queued jobs by deadline
--   iq:limbo:<model>     entries seen in RQ's intermediate list, by when first   iq:sweep:<model>      when the last sweep was
--   rq:queue:<model>, rq:queue:<model>:intermediate, rq:wip:<model>, rq:job:<id>   RQ's own, kept so that its tools can show them
-- Times are Redis's own, in milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function ticket(id) return 'iq:job:' .. id end

-- Write events first..last (one JSON array) to the job's stream and to the reply stream of the gateway that waits, if it lives.
local function emit(id, first, last, blob)
  redis.call('XADD', 'iq:events:' .. id, last .. '-0', 'f', first, 'e', blob)
  local reply = redis.call('HGET', ticket(id), 'reply')
  if reply and reply ~= '' then
    redis.call('XADD', reply, 'NOMKSTREAM', 'MAXLEN', '~', 20000, '*', 'j', id, 'f', first, 'l', last, 'e', blob)
  end
  redis.call('HSET', ticket(id), 'seq', last)
end

-- The job leaves every index of running and waiting jobs.
local function unlist(model, id, exec)
  redis.call('ZREM', 'iq:leases:' .. model, id)
  redis.call('ZREM', 'iq:deadlines:' .. model, id)
  if exec and exec ~= '' then redis.call('ZREM', 'rq:wip:' .. model, id .. ':' .. exec) end
end

-- The final state. From here on the ticket and the stream have a time to live.
local function finish(model, id, exec, state)
  unlist(model, id, exec)
  redis.call('HSET', ticket(id), 'state', state, 'ended', now)
  redis.call('DEL', 'rq:job:' .. id)
  local keep = redis.call('HGET', ticket(id), 'keep')
  redis.call('EXPIRE', ticket(id), keep)
  redis.call('EXPIRE', 'iq:events:' .. id, keep)
end

-- The end by somebody else than the job's worker, told to the client by a `Failed` event.
local function fail(model, id, exec, state, code, message)
  local seq = (tonumber(redis.call('HGET', ticket(id), 'seq')) or 0) + 1
  emit(id, seq, seq, cjson.encode({ { type = 'Failed', code = code, message = message } }))
  finish(model, id, exec, state)
end

-- Back to the head of the queue, with a minute at least to be claimed again.
local function requeue(model, id, exec)
  unlist(model, id, exec)
  local deadline = math.max(tonumber(redis.call('HGET', ticket(id), 'deadline')), now + 60000)
  redis.call('HSET', ticket(id), 'state', 'queued', 'exec', '', 'deadline', deadline)
  redis.call('ZADD', 'iq:deadlines:' .. model, deadline, id)
  redis.call('HSET', 'rq:job:' .. id, 'status', 'queued')
  redis.call('LPUSH', 'rq:queue:' .. model, id)
end

-- Requeue several {id, exec, created}: the newest first, so that the oldest ends at the very head.
local function requeue_in_order(model, jobs)
  table.sort(jobs, function(a, b) return a[3] > b[3] end)
  for _, job in ipairs(jobs) do requeue(model, job[1], job[2]) end
  return #jobs
end
