#!lua flags=allow-oom
-- Put right what nobody else will: cancel jobs whose client did not come again, fail jobs that are past their deadline, requeue jobs
-- whose lease has ended and entries that are stuck in the intermediate list. Workers and gateways all call it each second, or four
-- times a lease where that is more often; one call in 0.4 s does it.
-- When nobody has swept for 3 s, or 0.7 of a lease where that is less (an outage, a jump of the clock), it recovers nothing for one
-- lease: workers renew first, so that an outage re-runs nothing.
-- ARGV: model, lease in milliseconds, milliseconds after which an entry is stuck, most executions of a job
-- Returns the number of jobs requeued.
local model, lease, stuck, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local record = 'iq:sweep:' .. model
local r = redis.call('HMGET', record, 'last', 'hold')
local last, hold = tonumber(r[1] or 0), tonumber(r[2] or 0)
if now >= last and now - last < 400 then return 0 end
redis.call('HSET', record, 'last', now)
redis.call('PEXPIRE', record, 60000) -- nobody else would remove that of a model which was never asked for, or is forgotten already
if now < last or now - last > math.min(3000, lease * 7 / 10) then
  hold = now + lease
  redis.call('HSET', record, 'hold', hold)
end

-- No lease ends later than a lease from now, and so on: a clock that jumped back delays nothing by more than that.
local function clamp(index, latest)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', index .. model, '(' .. latest, '+inf')) do
    redis.call('ZADD', index .. model, latest, id)
  end
end
clamp('iq:leases:', now + lease)
clamp('iq:lingering:', now + 60000)
clamp('iq:limbo:', now)
if now < last then
  for _, id in ipairs(redis.call('ZRANGE', 'iq:deadlines:' .. model, 0, -1)) do
    local deadline, latest = redis.call('HGET', ticket(id), 'deadline'), now + patience(id)
    if deadline and tonumber(deadline) > latest then
      redis.call('HSET', ticket(id), 'deadline', latest)
      redis.call('ZADD', 'iq:deadlines:' .. model, latest, id)
    end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'iq:deadlines:' .. model, '-inf', now, 'LIMIT', 0, 100)) do
  if redis.call('HGET', ticket(id), 'state') == 'queued' then
    redis.call('LREM', 'rq:queue:' .. model, 1, id)
    expire(model, id)
  else
    redis.call('ZREM', 'iq:deadlines:' .. model, id)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'iq:lingering:' .. model, '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', 'iq:lingering:' .. model, id)
  if abandoned(id) then desert(id) end
end
if now < hold then return 0 end

local jobs = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'iq:leases:' .. model, '-inf', now, 'LIMIT', 0, 100)) do
  local t = redis.call('HMGET', ticket(id), 'state', 'exec', 'tries', 'created', 'cancel')
  if t[1] ~= 'in_progress' then
    redis.call('ZREM', 'iq:leases:' .. model, id)
  elseif t[5] == '1' then
    fail(model, id, t[2], 'cancelled', 'cancelled', 'The job was cancelled.')
  elseif tonumber(t[3]) >= most then
    fail(model, id, t[2], 'failed', 'worker_lost', 'Its workers died under the job ' .. t[3] .. ' times.')
  else
    jobs[#jobs + 1] = { id, t[2], tonumber(t[4]) }
  end
end

local between = 'rq:queue:' .. model .. ':intermediate'
for _, id in ipairs(redis.call('LRANGE', between, 0, -1)) do
  if redis.call('HGET', ticket(id), 'state') ~= 'queued' then
    redis.call('LREM', between, 1, id)
    redis.call('ZREM', 'iq:limbo:' .. model, id)
  else
    redis.call('ZADD', 'iq:limbo:' .. model, 'NX', now, id)
    if now - redis.call('ZSCORE', 'iq:limbo:' .. model, id) >= stuck then
      redis.call('LREM', between, 1, id)
      redis.call('ZREM', 'iq:limbo:' .. model, id)
      jobs[#jobs + 1] = { id, '', tonumber(redis.call('HGET', ticket(id), 'created')) }
    end
  end
end
if #jobs > 0 then count(model, 'recovered', #jobs) end
return requeue_in_order(model, jobs)
