-- What is done with a ticket.
local REMEMBERED = 60 -- seconds for which a claim is remembered beyond its execution: a duplicate that comes late takes no job
local MOST_TOLD = 20000 -- entries of a reply stream, about
local LARGEST_TOLD = 32768 -- bytes of a job's events in one of them
local DAY, LONGEST_LINGER = 86400000, 60000 -- milliseconds

-- The encoded `Accepted`: what the job is to compute.
local function accepted(id)
  local task = redis.call('GET', KEY.task .. id)
  if task then return task end
  local entry = redis.call('XRANGE', KEY.events .. id, '0-1', '0-1')[1][2]
  for i = 1, #entry, 2 do
    if entry[i] == 'e' then return entry[i + 1] end
  end
end

-- The job's stream begins with this, whatever else is in it.
local function lead(id, first)
  local events, entries = KEY.events .. id, redis.call('XRANGE', KEY.events .. id, '-', '+')
  if entries[1] and entries[1][1] == '0-1' and entries[1][2][6] == first then return end
  redis.call('DEL', events)
  redis.call('XADD', events, '0-1', 'f', 0, 'x', '', 'e', first)
  for _, entry in ipairs(entries) do
    if entry[1] ~= '0-1' then redis.call('XADD', events, entry[1], unpack(entry[2])) end
  end
end

-- The job's stream is made: by its first event, for an empty one takes 4 kB. It begins with the head of `Accepted`: what to compute lies
-- beside it until the job ends. Versions 0.1.0 and 0.2.0 look for that in a stream that is begun, so while they live it goes there.
local function begin(id)
  local task = redis.call('GET', KEY.task .. id)
  if not task then return end
  if former() then
    redis.call('DEL', KEY.task .. id)
    return lead(id, task)
  end
  if redis.call('EXISTS', KEY.events .. id) == 1 then return end
  lead(id, redis.call('HGET', ticket(id), 'head') or task)
  redis.call('EXPIRE', KEY.task .. id, LONGEST_LIFE)
end

local function names(field) return string.gmatch(field or '', '%S+') end

-- The reply streams that get the job's events.
local function replies(id) return names(redis.call('HGET', ticket(id), 'reply')) end

-- Write events first..last (one JSON array) of the execution `by` to the job's stream, and further fields to its ticket.
local function record(id, first, last, by, blob, ...)
  if tonumber(first) == 1 then begin(id) end
  redis.call('XADD', KEY.events .. id, last .. '-0', 'f', first, 'x', by, 'e', blob)
  redis.call('HSET', ticket(id), 'seq', last, 'by', by, ...)
end

-- Write events of jobs, {id, first, last, by, blob} each, to a reply stream if it lives. Where they are large, only that they are there:
-- whom they concern then reads the record when he has room for it.
local function tell(reply, news)
  local function add(...) redis.call('XADD', reply, 'NOMKSTREAM', 'MAXLEN', '~', MOST_TOLD, '*', ...) end
  if string.find(reply, KEY.reply, 1, true) == 1 then
    for _, n in ipairs(news) do if #n[5] > LARGEST_TOLD then n[5] = '' end end
    return add('m', cmsgpack.pack(news))
  end
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
  redis.call('ZREM', KEY.leases .. model, id)
  redis.call('ZREM', KEY.deadlines .. model, id)
  if exec ~= '' then
    redis.call('ZREM', KEY.rq_wip .. model, id .. ':' .. exec)
    redis.call('EXPIRE', KEY.exec .. exec, REMEMBERED)
    withhold(model, id)
    settle(model, id)
  else
    delist(model, id)
    if older() then redis.call('LREM', KEY.rq_queue .. model, 1, id) end
  end
end

local function count(model, what, by) redis.call('HINCRBY', KEY.counts .. model, what, by) end

-- Count a wait of so many milliseconds in its class, the least k of 2^k ms that are as long, and what all of them have waited.
local function count_wait(model, what, waited)
  local k = 0
  while k < 21 and 2 ^ k < waited do k = k + 1 end
  count(model, what .. ':' .. k, 1)
  count(model, what .. '_ms', waited)
end

-- Count a job that has ended in `state` with the event `last`, remember how it went, and note why it failed.
local function tally(model, id, state, last)
  local t = redis.call('HMGET', ticket(id), 'created', 'started', 'worker', 'owner', 'tokens', 'first')
  local owner, usage = t[4] or '', last.usage or { completion_tokens = tonumber(t[5] or 0) }
  local numbers = { requests = 1, failed = state == 'failed' and 1 or 0, prompt_tokens = usage.prompt_tokens or 0,
    cached_tokens = usage.cached_tokens or 0, output_tokens = usage.completion_tokens }
  count(model, 'jobs:' .. (state == 'failed' and last.code or state), 1)
  if t[2] then
    local wait = math.max(0, t[2] - t[1])
    count_wait(model, 'wait', wait)
    numbers['wait.' .. class(wait)] = 1
  end
  if t[6] then
    numbers['first.' .. class(t[6] - t[1])] = 1
    local further, took = usage.completion_tokens - 1, now - t[6]
    if further > 0 and took > 0 then numbers['speed.' .. class(further * 100000 / took)] = 1 end -- in hundredths of a token a second
  end
  pcall(remember, model, owner, numbers) -- whatever is wrong with it: the job ends
  if last.usage then
    count(model, 'prompt_tokens', last.usage.prompt_tokens)
    count(model, 'cached_tokens', last.usage.cached_tokens or 0)
    count(model, 'completion_tokens', last.usage.completion_tokens)
  end
  if state == 'failed' then
    redis.call('XADD', KEY.failures, 'MAXLEN', 100, '*', 'job', id, 'model', model, 'owner', owner, 'worker', t[3] or '', 'code',
      last.code, 'message', last.message)
  end
end

-- Take note of how long a running job that ends has held slots: among the last ones of its tier, and of all, unless it is of another
-- kind than those that wait for long (`typical` is false).
local function pace(model, id, typical)
  local counts, t = KEY.counts .. model, redis.call('HMGET', ticket(id), 'started', 'tier', 'spent')
  local tier, held = ':' .. (t[2] or 'default'), math.max(1, now - t[1]) + (t[3] or 0)
  for _, of in ipairs(typical and { '', tier } or {}) do
    local c = redis.call('HMGET', counts, 'held_us' .. of, 'held' .. of)
    local mean, n = tonumber(c[1] or 0), math.min(20, (c[2] or 0) + 1)
    redis.call('HSET', counts, 'held_us' .. of, math.floor(mean + (held * 1000 - mean) / n + 0.5), 'held' .. of, n)
  end
  count(model, 'busy_ms' .. tier, held)
end

-- No client can come again for a job that was left: it has one, or has ended without an answer.
local function reclaim(id)
  local orphans = redis.call('HGET', ticket(id), 'orphan')
  if not orphans then return end
  redis.call('LREM', KEY.orphans .. orphans, 0, id)
  redis.call('HDEL', ticket(id), 'orphan')
end

-- The final state, come with the event `last`. From here on the ticket and the stream have a time to live, unless the answer is to be
-- stored: then from when it is.
local function finish(model, id, exec, state, last)
  unlist(model, id, exec)
  redis.call('ZREM', KEY.lingering .. model, id)
  tally(model, id, state, last)
  if exec ~= '' then pace(model, id, last.generates ~= false) end
  redis.call('HSET', ticket(id), 'state', state, 'ended', now)
  redis.call('DEL', KEY.rq_job .. id)
  for reply in replies(id) do redis.call('SREM', reply .. ':jobs', id) end
  local owner, unarchived = redis.call('HGET', ticket(id), 'owner') or '', redis.call('ZSCORE', KEY.unarchived, id)
  redis.call('SREM', KEY.owned .. owner, id)
  give_back(id, owner, unarchived)
  if state ~= 'completed' then reclaim(id) end
  if unarchived then
    retain(id)
  else
    retire(id)
  end
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

-- Cancel a job. A queued one ends at once, and leaves its permit; a running one is marked, and its worker is told through RQ's command
-- channel (and learns it with its next append or renewal if it missed that). Returns the job's state after it, '' when there is none.
local function cancel(id)
  local t = redis.call('HMGET', ticket(id), 'state', 'model', 'exec', 'worker')
  if t[1] == 'queued' then
    fail(t[2], id, '', 'cancelled', 'cancelled', 'The job was cancelled.')
    return 'cancelled'
  end
  if t[1] == 'in_progress' then
    redis.call('HSET', ticket(id), 'cancel', 1)
    redis.call('PUBLISH', KEY.rq_pubsub .. t[4],
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
  redis.call('ZREM', KEY.lingering .. redis.call('HGET', ticket(id), 'model'), id)
  reclaim(id)
end

-- A client's request is given the job: to wait for it, or to have it kept.
local function admit(id, visitor, reply, waits, parts)
  if parts then redis.call('HSETNX', ticket(id), 'parts', 1) end
  attach(id, reply)
  if waits then
    if visitor ~= '' then await(id, visitor, reply) end
  else
    redis.call('HSETNX', ticket(id), 'kept', 1)
    redis.call('ZREM', KEY.lingering .. redis.call('HGET', ticket(id), 'model'), id)
    reclaim(id)
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
  return t[2] and math.max(wait, DAY) or wait
end

-- A running job waits again, where it waited before; its patience begins anew. `lost`: its worker has died, or seems to have.
local function requeue(model, id, exec, lost)
  unlist(model, id, exec)
  redis.call('HINCRBY', ticket(id), 'spent', math.max(1, now - redis.call('HGET', ticket(id), 'started')))
  if redis.call('HDEL', ticket(id), 'preempt') == 1 then redis.call('HINCRBY', ticket(id), 'preempted', 1) end
  local deadline = now + patience(id)
  redis.call('HSET', ticket(id), 'state', 'queued', 'exec', '', 'deadline', deadline, 'back', now)
  if lost then
    redis.call('HSET', ticket(id), 'lost', exec .. ':' .. redis.call('HGET', ticket(id), 'started'))
  else
    redis.call('HDEL', ticket(id), 'lost')
  end
  redis.call('ZADD', KEY.deadlines .. model, deadline, id)
  enlist(model, id)
  if older() then begin(id) end
  if redis.call('TTL', KEY.task .. id) > 0 then redis.call('EXPIRE', KEY.task .. id, LONGEST_LIFE) end
  redis.call('HSET', KEY.rq_job .. id, 'status', 'queued')
  redis.call('LPUSH', KEY.rq_queue .. model, id)
end

-- Whether a waiting job can be run. One whose deadline is over ends.
local function runnable(model, id)
  local t = redis.call('HMGET', ticket(id), 'state', 'deadline')
  if t[1] ~= 'queued' then return false end
  if now < tonumber(t[2]) then return true end
  expire(model, id)
  return false
end

-- How many jobs an owner has waiting and running. Where it looks like too many, some that have ended under version 0.1.0 are forgotten.
local function owned(owner, most)
  local jobs = KEY.owned .. owner
  if redis.call('SCARD', jobs) >= most then
    for _, id in ipairs(redis.call('SRANDMEMBER', jobs, 20)) do
      local state = redis.call('HGET', ticket(id), 'state')
      if state ~= 'queued' and state ~= 'in_progress' then redis.call('SREM', jobs, id) end
    end
  end
  return redis.call('SCARD', jobs)
end
