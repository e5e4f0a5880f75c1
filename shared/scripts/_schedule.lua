-- The one room for scheduling: where jobs wait, and whose turn it is.
--
-- Waiting jobs are in one sorted set a model. What RQ's list holds are *permits*, as many as jobs wait: one says that some job waits,
-- and `choose` says which one. An owner's jobs of one tier are served in the order of their arrival, so one owner alone is a queue.
-- Between owners: start-time fair queueing. A tag is the virtual time at which an owner's next job may start; a job that is begun puts
-- it later by the time that jobs of this model take, over the owner's weight, and its end by the difference to what it took. A tier's
-- clock is the latest tag that was served: whoever comes anew starts there, so that nobody saves up, and nobody pays for an idle hour.
-- Between tiers: the better one first, but see AGEING.
-- Where several workers serve a model, the one that claims is given, of the first LOOK jobs of the tier whose turn it is, one of which it
-- has read the most (see _readers.lua); a job of which another one has is left for that one, but see LEFT_FOR and MOST_OVERTAKEN.
local RANKS = { priority = 1, default = 2, flex = 3 }
local AGEING = { 0, 30000, 600000 } -- a tier's next job that has waited so many milliseconds is due, and goes before better ones
local AGED_EVERY = 4 -- one claim in so many
local LOOK = 8 -- owners whose next jobs are looked at
local LEAST_COST = 1000 -- of a job, in microseconds of a slot; a tag counts them over the weight
local MOST_COST = 3600000000 -- a clock that jumped is not paid for
local MOST_OWNERS = 1000 -- before a job, that are looked at closely when its place in the queue is told
local MOST_PREEMPTIONS = 10 -- of a job
local LEFT_FOR = 50 -- milliseconds that a job is left for the worker that has read the most of it, once
local MOST_OVERTAKEN = 4 -- jobs of its tier that are begun before one although their turns come later, because of who has read them
local MOST_PERMITS, PERMITS_LAST = 100, 60 -- that a worker is given for itself; seconds

local function waiting(model) return KEY.waiting .. model end
local function turns(model, rank) return KEY.turns .. model .. ':' .. rank end
local function tags(model, rank) return KEY.tags .. model .. ':' .. rank end
local function lines(model, rank) return KEY.lines .. model .. ':' .. rank end
local function clock(model, rank) return tonumber(redis.call('HGET', KEY.schedule .. model, 'clock:' .. rank) or 0) end

-- The places of an owner's next jobs. They are a range of texts.
local function next_places(model, rank, owner, most)
  local from, to = '[' .. rank .. ':' .. owner .. ':', '(' .. rank .. ':' .. owner .. ';'
  return redis.call('ZRANGEBYLEX', waiting(model), from, to, 'LIMIT', 0, most)
end

local function next_place(model, rank, owner) return next_places(model, rank, owner, 1)[1] end

local function read(place)
  local rank, owner, id = string.match(place, '^(%d):([^:]*):%d+:(.*)$')
  return tonumber(rank), owner, id
end

-- By how much a job that takes so many microseconds of a slot puts off the next turn of an owner with this weight.
local function price(took, weight) return math.max(1, math.floor(math.max(LEAST_COST, took) / (weight or 1) + 0.5)) end

local function weight(owner) return redis.call('HGET', KEY.weights, owner) end

-- How many microseconds the model's jobs are taken to hold a slot.
local function held(model) return tonumber(redis.call('HGET', KEY.counts .. model, 'held_us') or 0) end

-- The owner waits for a turn, if a job of his waits.
local function queue_up(model, rank, owner)
  if redis.call('ZSCORE', turns(model, rank), owner) then return end
  local tag = tonumber(redis.call('ZSCORE', tags(model, rank), owner) or 0)
  redis.call('ZREM', tags(model, rank), owner)
  redis.call('ZADD', turns(model, rank), math.max(tag, clock(model, rank)), owner)
end

-- The owner waits for no turn; his tag is kept as long as it matters.
local function step_aside(model, rank, owner, tag)
  redis.call('ZREM', turns(model, rank), owner)
  if tag > clock(model, rank) then redis.call('ZADD', tags(model, rank), tag, owner) end
end

-- A job waits: at its old place, if it had one.
local function enlist(model, id)
  local t = redis.call('HMGET', ticket(id), 'place', 'tier', 'owner')
  local place = t[1]
  if not place then
    local arrival = redis.call('HINCRBY', KEY.schedule .. model, 'arrivals', 1)
    place = string.format('%d:%s:%012d:%s', RANKS[t[2]] or RANKS.default, t[3] or '', arrival, id)
    redis.call('HSET', ticket(id), 'place', place)
    redis.call('HSET', KEY.schedule .. model, 'asked', now)
  end
  local rank, owner = read(place)
  redis.call('HINCRBY', lines(model, rank), owner, redis.call('ZADD', waiting(model), 0, place))
  queue_up(model, rank, owner)
end

-- A job waits no longer.
local function strike_out(model, place)
  if redis.call('ZREM', waiting(model), place) == 0 then return end
  local rank, owner = read(place)
  if redis.call('HINCRBY', lines(model, rank), owner, -1) > 0 then return end
  redis.call('HDEL', lines(model, rank), owner)
  local tag = redis.call('ZSCORE', turns(model, rank), owner)
  if tag then step_aside(model, rank, owner, tonumber(tag)) end
end

local function delist(model, id)
  local place = redis.call('HGET', ticket(id), 'place')
  if place then strike_out(model, place) end
end

-- The job whose turn it is in a tier: {id, place}; nil when there is none. `ready` says whether a job can be run, and has ended
-- those that cannot.
local function head(model, rank, ready)
  for _ = 1, LOOK do
    local owner = redis.call('ZRANGE', turns(model, rank), 0, 0)[1]
    if not owner then return end
    local place = next_place(model, rank, owner)
    if not place then
      redis.call('ZREM', turns(model, rank), owner)
      redis.call('HDEL', lines(model, rank), owner)
    else
      local _, _, id = read(place)
      if ready(id) then return { id = id, place = place } end
      strike_out(model, place)
    end
  end
end

-- Whether it matters which worker runs a job. Version 0.1.0 takes those that the list names.
local function several(model) return redis.call('HLEN', KEY.slots .. model) > 1 and not older() end

-- The places of a tier's first jobs, in the order of their owners' turns.
local function first_places(model, rank)
  local found = {}
  for _, owner in ipairs(redis.call('ZRANGE', turns(model, rank), 0, LOOK - 1)) do
    for _, place in ipairs(next_places(model, rank, owner, LOOK - #found)) do found[#found + 1] = place end
    if #found == LOOK then break end
  end
  return found
end

-- For how long a job is left for somebody else yet, in milliseconds; nil when that is over. He is told with a permit of his own.
local function leave_for(model, id, other, since)
  if since then
    local rest = since + LEFT_FOR - now
    return rest > 0 and rest <= LEFT_FOR and rest or nil
  end
  redis.call('HSET', ticket(id), 'left', now)
  redis.call('RPUSH', KEY.permits .. other, id)
  redis.call('LTRIM', KEY.permits .. other, -MOST_PERMITS, -1)
  redis.call('EXPIRE', KEY.permits .. other, PERMITS_LAST)
  return LEFT_FOR
end

-- The job of a tier that a worker is given: {id, place, those that it overtakes}. Nil where there is none for it, and then in how many
-- milliseconds there may be.
local function pick(model, rank, worker, ready)
  local passed, best, pause = {}, nil, nil
  for _, place in ipairs(first_places(model, rank)) do
    local _, _, id = read(place)
    if ready(id) then
      local t = redis.call('HMGET', ticket(id), 'trail', 'left', 'overtaken')
      local who, job = reader(model, worker, t[1]), { id = id, place = place, overtakes = { unpack(passed) } }
      if who == worker then return job end
      if not best then
        local rest = who and leave_for(model, id, who, tonumber(t[2]))
        if rest then
          pause = math.min(pause or rest, rest)
        else
          best = job
        end
      end
      if tonumber(t[3] or 0) >= MOST_OVERTAKEN then break end
      passed[#passed + 1] = id
    else
      strike_out(model, place)
    end
  end
  return best, not best and pause or nil
end

-- The whole policy: the next job of a model for a worker, or for any where it is false, as `pick` returns it.
local function choose(model, worker, ready)
  if redis.call('EXISTS', waiting(model)) == 0 then return end
  local schedule = KEY.schedule .. model
  local claims = redis.call('HINCRBY', schedule, 'claims', 1)
  local ageing = claims - (redis.call('HGET', schedule, 'aged') or 0) >= AGED_EVERY
  local best, pause, due, earliest
  for rank = 1, #AGEING do
    if not best and not pause then
      if worker then
        best, pause = pick(model, rank, worker, ready)
      else
        best = head(model, rank, ready)
      end
    elseif ageing then
      local job = head(model, rank, ready)
      local time = job and redis.call('HGET', ticket(job.id), 'created') + AGEING[rank]
      if job and time <= now and (not due or time < earliest) then due, earliest = job, time end
    end
  end
  if due then redis.call('HSET', schedule, 'aged', claims) end
  return due or best, pause
end

-- A job is begun: its owner's next turn comes later, by what it is taken to cost. The clock waits for those that it overtakes.
local function charge(model, job)
  local rank, owner = read(job.place)
  local time = clock(model, rank)
  local tag = math.max(tonumber(redis.call('ZSCORE', turns(model, rank), owner)), time)
  local charge, served = price(held(model), weight(owner)), tag
  if job.overtakes and #job.overtakes > 0 then
    served = math.max(time, math.min(tag, tonumber(redis.call('ZRANGE', turns(model, rank), 0, 0, 'WITHSCORES')[2])))
    for _, other in ipairs(job.overtakes) do redis.call('HINCRBY', ticket(other), 'overtaken', 1) end
  end
  redis.call('HSET', KEY.schedule .. model, 'clock:' .. rank, served)
  redis.call('HSET', ticket(job.id), 'charge', charge)
  redis.call('ZADD', turns(model, rank), tag + charge, owner)
  strike_out(model, job.place)
  redis.call('ZREMRANGEBYSCORE', tags(model, rank), '-inf', served)
end

-- An execution is over: its owner pays for the time that it took.
local function settle(model, id)
  local t = redis.call('HMGET', ticket(id), 'charge', 'place', 'started')
  if not t[1] then return end
  redis.call('HDEL', ticket(id), 'charge')
  local rank, owner = read(t[2])
  local due = price(math.min(MOST_COST, (now - t[3]) * 1000), weight(owner)) - t[1]
  if redis.call('ZSCORE', turns(model, rank), owner) then
    redis.call('ZINCRBY', turns(model, rank), due, owner)
  else
    local tag = tonumber(redis.call('ZSCORE', tags(model, rank), owner) or clock(model, rank))
    redis.call('ZREM', tags(model, rank), owner)
    step_aside(model, rank, owner, tag + due)
  end
end

-- How many jobs are served before the one at this place, if none comes that overtakes them.
local function ahead(model, place)
  local rank, owner = read(place)
  local at = redis.call('ZRANK', waiting(model), place)
  if not at then return 0 end -- an earlier version has put it back
  local mine = at - redis.call('ZRANK', waiting(model), next_place(model, rank, owner))
  local count, better = mine, 0
  for other = 1, rank - 1 do better = better + redis.call('EXISTS', lines(model, other)) end
  if better > 0 then count = count + redis.call('ZLEXCOUNT', waiting(model), '-', '(' .. rank .. ':') end
  local line = turns(model, rank)
  local zero, took = clock(model, rank), held(model)
  local start = math.max(zero, tonumber(redis.call('ZSCORE', line, owner) or zero)) + mine * price(took, weight(owner))
  local tagged = redis.call('ZRANGE', line, '-inf', start, 'BYSCORE', 'LIMIT', 0, MOST_OWNERS, 'WITHSCORES')
  local others = {}
  for i = 1, #tagged, 2 do others[#others + 1] = tagged[i] end
  local weights = #others > 0 and redis.call('HMGET', KEY.weights, unpack(others))
  local lengths = #others > 0 and redis.call('HMGET', lines(model, rank), unpack(others))
  for i, other in ipairs(others) do
    if other ~= owner then
      local before = (start - math.max(zero, tonumber(tagged[2 * i]))) / price(took, weights[i])
      local turn = other < owner and math.floor(before) + 1 or math.ceil(before)
      count = count + math.min(turn, lengths[i] or 0)
    end
  end
  return count + math.max(0, redis.call('ZCOUNT', line, '-inf', start) - MOST_OWNERS)
end

-- A running job may be asked back for a better one.
local function offer(model, id, place)
  local rank = read(place)
  if rank ~= RANKS.flex then return end
  if tonumber(redis.call('HGET', ticket(id), 'preempted') or 0) < MOST_PREEMPTIONS then
    redis.call('ZADD', KEY.flex .. model, now, id)
  end
end

-- It cannot be asked, or not any more.
local function withhold(model, id)
  redis.call('ZREM', KEY.flex .. model, id)
  redis.call('ZREM', KEY.preempted .. model, id)
end

-- Ask as many of the youngest back as better jobs wait for whom no slot is free; their workers learn it with the next append or renewal.
local function preempt(model, free)
  if redis.call('EXISTS', KEY.flex .. model) == 0 then return end
  if not free then
    free = -redis.call('ZCARD', KEY.leases .. model)
    for _, slots in ipairs(redis.call('HVALS', KEY.slots .. model)) do free = free + slots end
  end
  local better = redis.call('ZLEXCOUNT', waiting(model), '-', '(' .. RANKS.flex .. ':')
  local wanted = better - math.max(0, free) - redis.call('ZCARD', KEY.preempted .. model)
  if wanted <= 0 then return end
  for _, id in ipairs(redis.call('ZREVRANGE', KEY.flex .. model, 0, wanted - 1)) do
    redis.call('ZREM', KEY.flex .. model, id)
    if redis.call('HGET', ticket(id), 'state') == 'in_progress' then
      redis.call('HSET', ticket(id), 'preempt', 1)
      redis.call('ZADD', KEY.preempted .. model, 0, id)
    end
  end
end
