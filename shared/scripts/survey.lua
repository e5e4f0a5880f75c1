#!lua flags=no-writes
-- What goes on at this moment and went on of late, for somebody who watches. What it costs follows the number of running jobs, and not
-- how many wait.
-- ARGV: an owner whose jobs alone are told, or '*' for those of all; how many running and how many waiting jobs are told at most;
--       models
-- Returns in MessagePack {the time in milliseconds, models, running jobs, waiting jobs, how many are not told of these and of those, the
--         last ten seconds each (the latest last) and the last two minutes of the owner's history, the last two minutes of all}, where
--         a model is {waiting jobs of each tier, running jobs, worker and number of its jobs in turn}, a job {id, model, owner, tier,
--         created, started or '', tokens, worker or '', place in the queue or 0}, and what is of history an array of fields and values
local POSITIONS_TOLD = 50 -- owners who wait: where there are more, places take too long to be found
local of, most = ARGV[1], tonumber(ARGV[2])
local models, running, queued, more_running, more_queued = {}, {}, {}, 0, 0

local function add(list, model, id, place)
  if #list == most then return false end
  local t = redis.call('HMGET', ticket(id), 'owner', 'tier', 'created', 'started', 'tokens', 'worker', 'state')
  local waits = t[7] == 'queued'
  list[#list + 1] = { id, model, t[1] or '', t[2] or 'default', tonumber(t[3] or now), not waits and tonumber(t[4]) or '',
    tonumber(t[5] or 0), not waits and t[6] or '', waits and place and ahead(model, place) + 1 or 0 }
  return true
end

local function look_at_running(model)
  local ids, workers = redis.call('ZRANGE', KEY.leases .. model, 0, -1), {}
  table.sort(ids) -- so that it is the same ones from one look to the next
  for _, id in ipairs(ids) do
    local t = redis.call('HMGET', ticket(id), 'worker', 'owner')
    if t[1] then workers[t[1]] = (workers[t[1]] or 0) + 1 end
    if (of == ALL or t[2] == of) and not add(running, model, id) then more_running = more_running + 1 end
  end
  local flat = {}
  for worker, count in pairs(workers) do
    flat[#flat + 1] = worker
    flat[#flat + 1] = count
  end
  return #ids, flat
end

local function look_at_queue(model)
  local tiers, owners, told = {}, 0, #queued
  for _, rank in pairs(RANKS) do
    tiers[rank] = redis.call('ZLEXCOUNT', waiting(model), '[' .. rank .. ':', '(' .. rank .. ';')
    owners = owners + redis.call('ZCARD', turns(model, rank))
  end
  local function place_of(id) return owners <= POSITIONS_TOLD and redis.call('HGET', ticket(id), 'place') end
  local count = 0
  if of == ALL then
    count = redis.call('ZCARD', KEY.deadlines .. model)
    for _, id in ipairs(redis.call('ZRANGE', KEY.deadlines .. model, 0, most - 1)) do add(queued, model, id, place_of(id)) end
  else
    for rank = 1, #tiers do
      local from, to = '[' .. rank .. ':' .. of .. ':', '(' .. rank .. ':' .. of .. ';'
      count = count + redis.call('ZLEXCOUNT', waiting(model), from, to)
      for _, place in ipairs(redis.call('ZRANGEBYLEX', waiting(model), from, to, 'LIMIT', 0, most)) do
        local _, _, id = read(place)
        add(queued, model, id, place_of(id))
      end
    end
  end
  more_queued = more_queued + count - (#queued - told)
  return tiers
end

for i = 3, #ARGV do
  local count, workers = look_at_running(ARGV[i])
  models[i - 2] = { look_at_queue(ARGV[i]), count, workers }
end

local function past(seconds, buckets, whose)
  local found = {}
  for i = buckets - 1, 0, -1 do
    local start = (math.floor(now / 1000 / seconds) - i) * seconds
    found[#found + 1] = redis.call('HGETALL', KEY.history .. seconds .. ':' .. start .. ':' .. whose)
  end
  return found
end
return cmsgpack.pack({ now, models, running, queued, more_running, more_queued, past(10, 6, of), past(60, 2, of), past(60, 2, ALL) })
