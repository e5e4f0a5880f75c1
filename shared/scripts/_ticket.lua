-- What the scripts share; put after each script's first line by shared/tickets.py.
--
-- Keys (all scripts; <id> a job, <model> a queue, <reply> the reply stream of a gateway process, `iq:reply:2:<its name>`):
--   iq:job:<id>          the ticket, a hash: state model owner created wait deadline keep tries returned cancel exec worker
--                        started ended idempotency joined, and
--                        seq      number of the last event      by    the execution that wrote it, `0` for one of these scripts
--                        tokens   of its events                 reply the reply streams that get its events
--                        waiting  whose client waits for the answer: `<visitor>@<reply>` each, where a visitor is the id with
--                                 which its request came        kept  somebody was promised it (202): it runs, whoever leaves
--                        deserted it was cancelled because nobody waited any more
--                        parts    somebody reads the answer as it comes, so that nothing of it can be taken back
--   iq:events:<id>       the job's stream; an entry's id is the number of its last event, `f` that of its first, `x` its execution
--                        and `e` its events; entry 0-1 is `Accepted`
--   <reply>              an entry's `m` is in MessagePack a list of {<id>, first, last, execution, events}; those named by release 0.1.0,
--                        without the 2, get an entry a job: `j`, `f`, `l`, `x` and `e`
--   iq:leases:<model>    running jobs by the time at which their lease ends      iq:deadlines:<model>  queued jobs by deadline
--   iq:lingering:<model> jobs whose client may come again, by the time at which they are cancelled if it does not
--   iq:orphans:<print>:<n>     such jobs by the fingerprint of their request and the client's count of attempts
--   iq:idempotency:<owner and key>   the job and the fingerprint that belong to an Idempotency-Key
--   iq:limbo:<model>     entries seen in RQ's intermediate list, by when first   iq:sweep:<model>      when the last sweep was; gone a minute later
--   iq:live:gateways, iq:live:workers, iq:live:models    who lives, by the time until which that is believed; iq:lapse, when that
--                        was looked at last; iq:card:<kind>:<name>, what they say of themselves; iq:lease, in force for all of them
--   iq:written           when 202s were confirmed last
--   <reply>:jobs         the jobs whose events a gateway gets: those of one that died are found here
--   iq:counts:<model>    what became of its jobs: jobs:<outcome>, recovered, prompt_tokens, completion_tokens, wait_ms, and wait:<k>,
--                        the jobs that waited more than 2^(k-1) and up to 2^k ms; held_us, how long the last `held` (up to 20) held
--                        a slot on average                                            iq:failures  a stream of the last failed jobs
--   rq:queue:<model>, rq:queue:<model>:intermediate, rq:wip:<model>, rq:job:<id>   RQ's own, kept so that its tools can show them
-- Times are Redis's own, in milliseconds. It may jump: what is judged by a time is never believed for longer than it was meant to be.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function ticket(id) return 'iq:job:' .. id end

-- The first entry of the job's stream, by the names of its fields.
local function accepted(id)
  local entry, fields = redis.call('XRANGE', 'iq:events:' .. id, '0-1', '0-1')[1][2], {}
  for i = 1, #entry, 2 do fields[entry[i]] = entry[i + 1] end
  return fields
end

local function names(field) return string.gmatch(field or '', '%S+') end

-- The reply streams that get the job's events.
local function replies(id) return names(redis.call('HGET', ticket(id), 'reply')) end

-- Write events first..last (one JSON array) of the execution `by` to the job's stream, and further fields to its ticket.
local function record(id, first, last, by, blob, ...)
  redis.call('XADD', 'iq:events:' .. id, last .. '-0', 'f', first, 'x', by, 'e', blob)
  redis.call('HSET', ticket(id), 'seq', last, 'by', by, ...)
end

-- Write events of jobs, {id, first, last, by, blob} each, to a reply stream if it lives.
local function tell(reply, news)
  local function add(...) redis.call('XADD', reply, 'NOMKSTREAM', 'MAXLEN', '~', 20000, '*', ...) end
  if string.find(reply, '^iq:reply:2:') then return add('m', cmsgpack.pack(news)) end
  for _, n in ipairs(news) do add('j', n[1], 'f', n[2], 'l', n[3], 'x', n[4], 'e', n[5]) end -- a gateway of release 0.1.0
end

-- Write events first..last (one JSON array) of the execution `by` to the job's stream, and to the reply streams that live.
local function emit(id, first, last, by, blob)
  record(id, first, last, by, blob)
  for reply in replies(id) do tell(reply, { { id, first, last, by, blob } }) end
end

-- Have the job's further events written to one more reply stream.
local function attach(id, reply)
  if reply == '' then return end
  redis.call('SADD', reply .. ':jobs', id)
  local streams = { reply }
  for other in replies(id) do
    if other == reply then return end
    streams[#streams + 1] = other
  end
  redis.call('HSET', ticket(id), 'reply', table.concat(streams, ' '))
end

-- The job leaves every index of running and waiting jobs.
local function unlist(model, id, exec)
  redis.call('ZREM', 'iq:leases:' .. model, id)
  redis.call('ZREM', 'iq:deadlines:' .. model, id)
  if exec and exec ~= '' then redis.call('ZREM', 'rq:wip:' .. model, id .. ':' .. exec) end
end

local function count(model, what, by) redis.call('HINCRBY', 'iq:counts:' .. model, what, by) end

-- Count a job that has ended in `state` with the event `last`, and note why it failed.
local function tally(model, id, state, last)
  local t = redis.call('HMGET', ticket(id), 'created', 'started', 'worker')
  count(model, 'jobs:' .. (state == 'failed' and last.code or state), 1)
  if t[2] then
    local wait, k = math.max(0, t[2] - t[1]), 0
    while k < 21 and 2 ^ k < wait do k = k + 1 end
    count(model, 'wait:' .. k, 1)
    count(model, 'wait_ms', wait)
  end
  if last.usage then
    count(model, 'prompt_tokens', last.usage.prompt_tokens)
    count(model, 'completion_tokens', last.usage.completion_tokens)
  end
  if state == 'failed' then
    redis.call('XADD', 'iq:failures', 'MAXLEN', 100, '*', 'job', id, 'model', model, 'worker', t[3] or '', 'code', last.code,
      'message', last.message)
  end
end

-- Take note of how long a running job that ends has held its slot.
local function pace(model, id)
  local counts = 'iq:counts:' .. model
  local c = redis.call('HMGET', counts, 'held_us', 'held')
  local mean, n = tonumber(c[1] or 0), math.min(20, (c[2] or 0) + 1)
  local held = math.max(1, now - redis.call('HGET', ticket(id), 'started')) * 1000
  redis.call('HSET', counts, 'held_us', math.floor(mean + (held - mean) / n + 0.5), 'held', n)
end

-- The final state, come with the event `last`. From here on the ticket and the stream have a time to live.
local function finish(model, id, exec, state, last)
  unlist(model, id, exec)
  redis.call('ZREM', 'iq:lingering:' .. model, id)
  tally(model, id, state, last)
  if exec ~= '' then pace(model, id) end
  redis.call('HSET', ticket(id), 'state', state, 'ended', now)
  redis.call('DEL', 'rq:job:' .. id)
  for reply in replies(id) do redis.call('SREM', reply .. ':jobs', id) end
  local keep = redis.call('HGET', ticket(id), 'keep')
  redis.call('EXPIRE', ticket(id), keep)
  redis.call('EXPIRE', 'iq:events:' .. id, keep)
  local key = redis.call('HGET', ticket(id), 'idempotency')
  if key and redis.call('HGET', key, 'job') == id then redis.call('EXPIRE', key, keep) end -- without its job it is of no use
end

-- The end by somebody else than the job's worker, told to the client by a `Failed` event.
local function fail(model, id, exec, state, code, message)
  local seq = (tonumber(redis.call('HGET', ticket(id), 'seq')) or 0) + 1
  local last = { type = 'Failed', code = code, message = message }
  emit(id, seq, seq, '0', cjson.encode({ last }))
  finish(model, id, exec, state, last)
end

-- A queued job is past its deadline.
local function expire(model, id)
  fail(model, id, '', 'failed', 'deadline_exceeded', 'The job waited in the queue beyond its deadline.')
end

-- Cancel a job. A queued one ends at once; a running one is marked, and its worker is told through RQ's command channel (and
-- learns it with its next append or renewal if it missed that). Returns the job's state after it, '' when there is none.
local function cancel(id)
  local t = redis.call('HMGET', ticket(id), 'state', 'model', 'exec', 'worker')
  if t[1] == 'queued' then
    redis.call('LREM', 'rq:queue:' .. t[2], 1, id)
    fail(t[2], id, '', 'cancelled', 'cancelled', 'The job was cancelled.')
    return 'cancelled'
  end
  if t[1] == 'in_progress' then
    redis.call('HSET', ticket(id), 'cancel', 1)
    redis.call('PUBLISH', 'rq:pubsub:' .. t[4],
      cjson.encode({ command = 'stop-execution', job_id = id, execution_id = t[3] }))
  end
  return t[1] or ''
end

-- Whether a client that comes again may be given this job.
local function joinable(id)
  local t = redis.call('HMGET', ticket(id), 'state', 'cancel')
  return t[1] and t[1] ~= 'failed' and t[1] ~= 'cancelled' and t[2] ~= '1'
end

-- Forget those who wait for the job of whom `gone` says so. Returns how many wait still.
local function dismiss(id, gone)
  local visitors = {}
  for other in string.gmatch(redis.call('HGET', ticket(id), 'waiting') or '', '%S+') do
    if not gone(other) then visitors[#visitors + 1] = other end
  end
  redis.call('HSET', ticket(id), 'waiting', table.concat(visitors, ' '))
  return #visitors
end

-- The client's request `visitor` waits for the job at the gateway of a reply stream. By name, so that repeating it changes nothing.
local function await(id, visitor, reply)
  local name, waiting = visitor .. '@' .. reply, redis.call('HGET', ticket(id), 'waiting') or ''
  if not string.find(' ' .. waiting .. ' ', ' ' .. name .. ' ', 1, true) then
    redis.call('HSET', ticket(id), 'waiting', waiting == '' and name or waiting .. ' ' .. name)
  end
  redis.call('ZREM', 'iq:lingering:' .. redis.call('HGET', ticket(id), 'model'), id)
end

-- A client's request is given the job: to wait for it, or to have it kept.
local function admit(id, visitor, reply, waits, parts)
  if parts then redis.call('HSETNX', ticket(id), 'parts', 1) end
  attach(id, reply)
  if waits then
    if visitor ~= '' then await(id, visitor, reply) end
  else
    redis.call('HSETNX', ticket(id), 'kept', 1)
    redis.call('ZREM', 'iq:lingering:' .. redis.call('HGET', ticket(id), 'model'), id)
  end
end

-- Whether nobody wants the job any more.
local function abandoned(id)
  local t = redis.call('HMGET', ticket(id), 'waiting', 'kept')
  return t[1] == '' and not t[2]
end

-- Cancel a job that nobody wants any more. Returns its state after it.
local function desert(id)
  redis.call('HSET', ticket(id), 'deserted', 1)
  return cancel(id)
end

-- How long a job may wait in the queue. One that has run shall not wait there in vain: a day at least.
local function patience(id)
  local t = redis.call('HMGET', ticket(id), 'wait', 'started')
  local wait = tonumber(t[1] or 0)
  return t[2] and math.max(wait, 86400000) or wait
end

-- Back to the head of the queue. The patience of a job that has run begins anew.
local function requeue(model, id, exec)
  unlist(model, id, exec)
  if exec ~= '' then redis.call('HSET', ticket(id), 'deadline', now + patience(id)) end
  redis.call('HSET', ticket(id), 'state', 'queued', 'exec', '')
  redis.call('ZADD', 'iq:deadlines:' .. model, redis.call('HGET', ticket(id), 'deadline'), id)
  redis.call('HSET', 'rq:job:' .. id, 'status', 'queued')
  redis.call('LPUSH', 'rq:queue:' .. model, id)
end

-- Requeue several {id, exec, created}: the newest first, so that the oldest ends at the very head.
local function requeue_in_order(model, jobs)
  table.sort(jobs, function(a, b) return a[3] > b[3] or (a[3] == b[3] and a[1] > b[1]) end)
  for _, job in ipairs(jobs) do requeue(model, job[1], job[2]) end
  return #jobs
end
