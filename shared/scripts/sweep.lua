#!lua flags=allow-oom
-- Put right what nobody else will: cancel jobs whose client did not come again, fail jobs that are past their deadline, requeue jobs
-- whose lease has ended, and see that there are as many permits as jobs that wait. It looks at what is due only. Workers and gateways
-- all call it each second, or four times a lease where that is more often; one call in 0.4 s does it.
-- When nobody has swept for 3 s, or 0.7 of a lease where that is less (an outage, a jump of the clock), it recovers nothing for one
-- lease: workers renew first, so that an outage re-runs nothing.
-- ARGV: model, lease in milliseconds, milliseconds after which a permit in the intermediate list is stuck, most executions of a job
-- Returns the number of jobs requeued.
local PAUSE, SILENCE = 400, 3000 -- milliseconds
local RECORD_LASTS = 60000
local OVERLOOKED = 500 -- milliseconds
local MOST = 100 -- of each kind at once
local model, lease, stuck, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local record = KEY.sweep .. model
local r = redis.call('HMGET', record, 'last', 'hold', 'deadlines', 'places', 'counts')
local last, hold = tonumber(r[1] or 0), tonumber(r[2] or 0)
if now >= last and now - last < PAUSE and r[1] == r[5] then return 0 end -- one by another version does not count
redis.call('HSET', record, 'last', now, 'ours', now, 'counts', now)
redis.call('PEXPIRE', record, RECORD_LASTS) -- nobody else would remove that of a model which was never asked for, or is forgotten already
if now < last or now - last > math.min(SILENCE, lease * 7 / 10) then
  hold = now + lease
  redis.call('HSET', record, 'hold', hold)
end

-- No lease ends later than a lease from now, and so on: a clock that jumped back delays nothing by more than that.
local function clamp(index, latest)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', index .. model, '(' .. latest, '+inf', 'LIMIT', 0, 10 * MOST)) do
    redis.call('ZADD', index .. model, latest, id)
  end
end
clamp(KEY.leases, now + lease)
clamp(KEY.lingering, now + LONGEST_LINGER)
clamp(KEY.limbo, now)

-- Look at some members of an index, and go on with the next ones the next time.
local deadlines, queue = KEY.deadlines .. model, KEY.rq_queue .. model
local function look_through(index, field, cursor, look)
  local page = redis.call('ZSCAN', index, cursor or 0, 'COUNT', WALK)
  for i = 1, #page[2], 2 do look(page[2][i], tonumber(page[2][i + 1])) end
  if page[1] == '0' then
    redis.call('HDEL', record, field)
  else
    redis.call('HSET', record, field, page[1])
  end
end

-- All that waits is looked at after the clock has jumped back, and where places and waiting jobs differ: version 0.1.0 gives and
-- takes no places.
local placed = redis.call('ZCARD', waiting(model)) == redis.call('ZCARD', deadlines)
if now < last or r[3] or r[4] or former() or not placed then
  look_through(deadlines, 'deadlines', r[3], function(id, deadline)
    if redis.call('HGET', ticket(id), 'state') ~= 'queued' then return end
    local latest = now + patience(id)
    if deadline > latest then
      redis.call('HSET', ticket(id), 'deadline', latest)
      redis.call('ZADD', deadlines, latest, id)
    end
    adopt(model, id)
    if older() or former() and redis.call('EXISTS', KEY.events .. id) == 1 then begin(id) end
  end)
  look_through(waiting(model), 'places', r[4], function(place) evict(model, place) end)
end
if older() then
  accommodate(model)
elseif former() then
  for _, id in ipairs(redis.call('ZRANGE', KEY.leases .. model, 0, -1)) do
    if redis.call('HGET', ticket(id), 'state') == 'in_progress' and redis.call('EXISTS', KEY.events .. id) == 1 then begin(id) end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', now, 'LIMIT', 0, MOST)) do
  if redis.call('HGET', ticket(id), 'state') == 'queued' then
    expire(model, id)
  else
    redis.call('ZREM', deadlines, id)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.lingering .. model, '-inf', now, 'LIMIT', 0, MOST)) do
  redis.call('ZREM', KEY.lingering .. model, id)
  if abandoned(id) then desert(id) end
end

-- As many permits as jobs that wait. What lies between the list and a claim is not counted: its time is short.
local between = queue .. ':intermediate'
for _, id in ipairs(redis.call('LRANGE', between, 0, MOST - 1)) do
  redis.call('ZADD', KEY.limbo .. model, 'NX', now, id)
  if now - redis.call('ZSCORE', KEY.limbo .. model, id) >= stuck then
    redis.call('LREM', between, 1, id)
    redis.call('ZREM', KEY.limbo .. model, id)
  end
end
redis.call('ZREMRANGEBYSCORE', KEY.limbo .. model, '-inf', now - 10 * stuck)
local permits = redis.call('LLEN', queue)
local missing = redis.call('ZCARD', deadlines) - permits
if older() then
  name_all(model)
elseif missing > 0 then
  redis.call('RPUSH', queue, unpack(redis.call('ZRANGE', deadlines, 0, math.min(missing, 10 * MOST) - 1)))
elseif missing < 0 then
  redis.call('RPOP', queue, math.min(-missing, 10 * MOST))
end
-- A permit that nobody takes while a better job waits: no slot is free, whatever their count says.
local better = permits > 0 and redis.call('ZRANGEBYLEX', waiting(model), '-', '(' .. RANKS.flex .. ':', 'LIMIT', 0, 1)[1]
if better then
  local _, _, id = read(better)
  if now - redis.call('HGET', ticket(id), 'created') >= OVERLOOKED then preempt(model, 0) end
end
pcall(sample, model)
if now < hold then return 0 end

local count_of_lost = 0
local lost = redis.call('ZRANGEBYSCORE', KEY.leases .. model, '-inf', now, 'LIMIT', 0, MOST)
for i = #lost, 1, -1 do -- each permit goes to the head
  local id = lost[i]
  local t = redis.call('HMGET', ticket(id), 'state', 'exec', 'tries', 'cancel')
  if t[1] ~= 'in_progress' then
    redis.call('ZREM', KEY.leases .. model, id)
  elseif t[4] == '1' then
    fail(model, id, t[2], 'cancelled', 'cancelled', 'The job was cancelled.')
  elseif tonumber(t[3]) >= most then
    fail(model, id, t[2], 'failed', 'worker_lost', 'Its workers died under the job ' .. t[3] .. ' times.')
  else
    requeue(model, id, t[2], true)
    count_of_lost = count_of_lost + 1
  end
end
if count_of_lost > 0 then count(model, 'recovered', count_of_lost) end
return count_of_lost
