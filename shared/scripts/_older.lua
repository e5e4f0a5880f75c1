-- Version 0.1.0 beside this one. What RQ's list names it claims by id, what to compute it reads in the job's stream, and it recovers no
-- permits. So as long as one of its processes lives, the list names just the jobs that wait, and their streams are begun: it can
-- go on alone at any moment. It knows neither places, owners nor what is asked back, so what it leaves of them is cleared here.
local WALK = 500 -- jobs that are looked at at once

-- The job waits or runs in the books of its owner, too.
local function own(id)
  local owner = redis.call('HGET', ticket(id), 'owner')
  if owner and owner ~= '' then redis.call('SADD', KEY.owned .. owner, id) end
end

-- A job that it has accepted or put back has no place among the waiting yet.
local function adopt(model, id)
  local t = redis.call('HMGET', ticket(id), 'state', 'model', 'place')
  if t[1] ~= 'queued' or t[2] ~= model or t[3] and redis.call('ZSCORE', waiting(model), t[3]) then return end
  enlist(model, id)
  own(id)
end

-- A job that it has claimed or ended waits no longer.
local function evict(model, place)
  local _, _, id = read(place)
  local t = redis.call('HMGET', ticket(id), 'state', 'place')
  if t[1] ~= 'queued' or t[2] ~= place then strike_out(model, place) end
end

-- The permit was used for another job than the one that it names.
local function swap(model, permit, id)
  if not older() or permit == id then return end
  local queue = KEY.rq_queue .. model
  redis.call('LREM', queue, 1, id)
  if redis.call('HGET', ticket(permit), 'state') == 'queued' then redis.call('LPUSH', queue, permit) end
end

-- The list names each job that waits, once; what lies between the list and a claim is named there.
local function name_all(model)
  local queue, due = KEY.rq_queue .. model, redis.call('ZRANGE', KEY.deadlines .. model, 0, -1)
  local missing, named, wrong = {}, {}, false
  for _, id in ipairs(due) do missing[id] = true end
  for _, id in ipairs(redis.call('LRANGE', queue .. ':intermediate', 0, -1)) do missing[id] = nil end
  local function name(id)
    if missing[id] then named[#named + 1] = id end
    missing[id] = nil
  end
  local listed = redis.call('LRANGE', queue, 0, -1)
  for _, id in ipairs(listed) do name(id) end
  wrong = #named < #listed or next(missing)
  if not wrong then return end
  for _, id in ipairs(due) do name(id) end
  redis.call('DEL', queue)
  for i = 1, #named, 1000 do redis.call('RPUSH', queue, unpack(named, i, math.min(i + 999, #named))) end
end

-- What a sweep does for it, and about it.
local function accommodate(model)
  for _, id in ipairs(redis.call('LRANGE', KEY.rq_queue .. model, 0, WALK - 1)) do
    adopt(model, id)
    if redis.call('HGET', ticket(id), 'state') == 'queued' then begin(id) end
  end
  for _, id in ipairs(redis.call('ZRANGE', KEY.leases .. model, 0, -1)) do
    if redis.call('HGET', ticket(id), 'state') == 'in_progress' then
      begin(id)
      own(id)
    end
  end
  for _, asked in ipairs({ KEY.flex, KEY.preempted }) do
    for _, id in ipairs(redis.call('ZRANGE', asked .. model, 0, -1)) do
      if redis.call('HGET', ticket(id), 'state') ~= 'in_progress' then redis.call('ZREM', asked .. model, id) end
    end
  end
end

-- It ended a job whose stream was not begun: the stream has the end alone. Version 0.2.0 leaves the task of one that it ended.
local function complete(id)
  local t = redis.call('HMGET', ticket(id), 'state', 'ended', 'head')
  if t[1] and not t[2] then return end
  local ttl = redis.call('PTTL', KEY.events .. id)
  if t[1] and ttl > 0 and not redis.call('XRANGE', KEY.events .. id, '0-1', '0-1')[1] then
    lead(id, t[3] or redis.call('GET', KEY.task .. id))
    redis.call('PEXPIRE', KEY.events .. id, ttl)
  end
  redis.call('DEL', KEY.task .. id)
end

-- What jobs hold is counted anew: ends by earlier versions have given nothing back.
local function recount()
  local models = {}
  for _, queue in ipairs(redis.call('SMEMBERS', KEY.rq_queues)) do models[#models + 1] = string.sub(queue, #KEY.rq_queue + 1) end
  redis.call('DEL', KEY.bytes)
  for of, sum in pairs(add_up(models)) do redis.call('HSET', KEY.bytes, of, string.format('%d', sum)) end
  redis.call('EXPIRE', KEY.bytes, LONGEST_LIFE)
end

-- Once it has gone: look at some of all keys, beginning at a cursor, and clear what it has left. Returns the next cursor, '0' in the end.
local function tidy(cursor)
  local page = redis.call('SCAN', cursor, 'MATCH', 'iq:*', 'COUNT', 2 * WALK)
  for _, key in ipairs(page[2]) do
    local kind, name = string.match(key, '^iq:(%l+):(.*)$')
    if kind == 'task' then
      complete(name)
    elseif kind == 'schedule' then
      redis.call('SADD', KEY.rq_queues, KEY.rq_queue .. name) -- a model that it has forgotten
    elseif kind == 'owned' then
      for _, id in ipairs(redis.call('SMEMBERS', key)) do
        local state = redis.call('HGET', ticket(id), 'state')
        if state ~= 'queued' and state ~= 'in_progress' then redis.call('SREM', key, id) end
      end
    elseif kind == 'slots' then
      for _, worker in ipairs(redis.call('HKEYS', key)) do
        if not redis.call('ZSCORE', KEY.live .. 'workers', worker) then redis.call('HDEL', key, worker) end
      end
    end
  end
  return page[1]
end
