#!lua flags=allow-oom
-- Forget who lives no longer. Of a gateway the clients are gone too; their jobs wait a moment, for they may come again to another one,
-- and go on where somebody reads them there already.
-- Of a model that nobody serves nothing is kept but what its jobs need, and for a while what was counted of it.
-- Workers and gateways all call it each second; one call in 0.4 s does it.
-- ARGV: milliseconds that gateways, workers and models are believed to live, milliseconds that a job waits for its client
local PAUSE, SILENCE, HOLD = 400, 3000, 10000 -- milliseconds
local UNCOUNTED = 60000 -- the same, for which nobody who counts bytes has lived
local OLDER_LASTS = 5 -- seconds
local COUNTS, PLACES = 3, 2 -- what a card's `wire` is at least where its owner does that
local linger = tonumber(ARGV[4])
local l = redis.call('HMGET', KEY.lapse, 'last', 'tidy', 'former', 'counts')
local last = tonumber(l[1] or 0)
if now >= last and now - last < PAUSE and l[1] == l[4] then return end -- one by another version does not count
redis.call('HSET', KEY.lapse, 'last', now, 'ours', now, 'counts', now) -- `ours` is for version 0.2.0

redis.call('ZREMRANGEBYSCORE', KEY.retained, '-inf', now) -- their keys have ended by themselves

-- The least that somebody who lives understands.
local function least_wire()
  local least = COUNTS
  for _, kind in ipairs({ 'gateways', 'workers' }) do
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEY.live .. kind, now, '+inf')) do
      local read, card = pcall(cjson.decode, redis.call('GET', KEY.card .. kind .. ':' .. name) or '')
      least = math.min(least, read and type(card) == 'table' and tonumber(card.wire) or 1)
    end
  end
  return least
end
local wire = least_wire()
if wire < PLACES then redis.call('SET', KEY.older, 1, 'EX', OLDER_LASTS) end
if wire < COUNTS then redis.call('SET', KEY.former, 1, 'EX', OLDER_LASTS) end
if older() then
  redis.call('HSET', KEY.lapse, 'tidy', 0)
elseif l[2] then
  local cursor = tidy(l[2])
  redis.call('HSET', KEY.lapse, 'tidy', cursor)
  if cursor == '0' then redis.call('HDEL', KEY.lapse, 'tidy') end
end
if former() or l[3] then -- in a field of its own: where version 0.2.0 tidies up it would spoil streams that are begun
  local cursor = older() and '0' or tidy(l[3] or 0)
  redis.call('HSET', KEY.lapse, 'former', cursor)
  if cursor == '0' and not former() then
    recount()
    redis.call('HDEL', KEY.lapse, 'former')
  end
elseif not l[4] or now < tonumber(l[4]) or now - l[4] > UNCOUNTED then
  recount()
end

-- After an outage everybody has a moment to say that he lives.
if now < last or now - last > SILENCE then redis.call('HSET', KEY.lapse, 'hold', now + HOLD) end
local hold = tonumber(redis.call('HGET', KEY.lapse, 'hold') or 0)
if now < hold and hold - now <= HOLD then return end

local function lapsed(kind, ttl)
  local group = KEY.live .. kind
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', group, '(' .. now + ttl, '+inf')) do redis.call('ZADD', group, now + ttl, name) end
  return redis.call('ZRANGEBYSCORE', group, '-inf', '(' .. now, 'LIMIT', 0, 20)
end

local function forget(kind, name)
  redis.call('ZREM', KEY.live .. kind, name)
  redis.call('DEL', KEY.card .. kind .. ':' .. name)
end

for _, reply in ipairs(lapsed('gateways', ARGV[1])) do
  local jobs = redis.call('SRANDMEMBER', reply .. ':jobs', 200)
  for _, id in ipairs(jobs) do
    local t = redis.call('HMGET', ticket(id), 'state', 'model')
    redis.call('SREM', reply .. ':jobs', id)
    if t[1] == 'queued' or t[1] == 'in_progress' then
      local streams = {}
      for other in replies(id) do
        if other ~= reply then streams[#streams + 1] = other end
      end
      redis.call('HSET', ticket(id), 'reply', table.concat(streams, ' '))
      dismiss(id, function(other) return string.sub(other, -#reply) == reply end)
      if #streams == 0 and abandoned(id) then redis.call('ZADD', KEY.lingering .. t[2], 'NX', now + linger, id) end
    end
  end
  if #jobs == 0 then
    redis.call('DEL', reply)
    forget('gateways', reply)
  end
end
for _, name in ipairs(lapsed('workers', ARGV[2])) do
  local read, card = pcall(cjson.decode, redis.call('GET', KEY.card .. 'workers:' .. name) or '')
  redis.call('SREM', KEY.rq_workers, KEY.rq_worker .. name)
  if read and type(card.model) == 'string' then
    redis.call('SREM', KEY.rq_workers .. ':' .. card.model, KEY.rq_worker .. name)
    redis.call('HDEL', KEY.slots .. card.model, name)
  end
  forget('workers', name)
end
for _, model in ipairs(lapsed('models', ARGV[3])) do
  redis.call('SADD', KEY.rq_queues, KEY.rq_queue .. model) -- where it was never asked for, it is not listed there
  redis.call('HSET', KEY.counts .. model, 'unneeded', 0) -- it has had its while
  forget('models', model)
end
for _, queue in ipairs(redis.call('SMEMBERS', KEY.rq_queues)) do
  local model = string.sub(queue, #KEY.rq_queue + 1)
  local needed = redis.call('ZSCORE', KEY.live .. 'models', model) or redis.call('EXISTS', queue, queue .. ':intermediate',
    KEY.leases .. model, KEY.deadlines .. model, KEY.lingering .. model, KEY.limbo .. model) > 0
  local since = tonumber(redis.call('HGET', KEY.counts .. model, 'unneeded'))
  if needed then
    if since then redis.call('HDEL', KEY.counts .. model, 'unneeded') end
  elseif not since or now < since then
    redis.call('HSET', KEY.counts .. model, 'unneeded', now)
  elseif now - since >= tonumber(ARGV[3]) then
    redis.call('SREM', KEY.rq_queues, queue)
    redis.call('DEL', KEY.counts .. model, KEY.schedule .. model, waiting(model), KEY.flex .. model, KEY.preempted .. model)
    for _, rank in pairs(RANKS) do redis.call('DEL', turns(model, rank), tags(model, rank), lines(model, rank)) end
  end
end
