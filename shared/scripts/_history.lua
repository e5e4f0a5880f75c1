-- What the last hour was like. What ends is counted in a hash for each ten seconds and one for each minute, of all and of its owner; so
-- what it costs does not depend on how long answers are, or on who looks. A field is `<what>:<model>`; see shared/history.py.
local BUCKETS = { { 10, 90 }, { 60, 3900 } } -- seconds of one, and for how long it is kept
local MOST_OWNERS_TOLD = 200 -- in one bucket

local function bucket(seconds, of) return KEY.history .. seconds .. ':' .. math.floor(now / 1000 / seconds) * seconds .. ':' .. of end

-- Numbers that lie close together are one class: a quarter of an octave.
local function class(number) return number > 1 and math.ceil(4 * math.log(number) / math.log(2)) or 0 end

-- Whether there is still room for what is told of this owner.
local function told(seconds, owner)
  return redis.call('EXISTS', bucket(seconds, owner)) == 1
    or redis.call('HINCRBY', bucket(seconds, ALL), 'owners', 1) <= MOST_OWNERS_TOLD
end

local function add_to_history(seconds, of, model, numbers)
  local key = bucket(seconds, of)
  for what, number in pairs(numbers) do
    if number > 0 then redis.call('HINCRBY', key, what .. ':' .. model, number) end
  end
end

local function remember(model, owner, numbers)
  for _, each in ipairs(BUCKETS) do
    local seconds, lasts = unpack(each)
    for _, of in ipairs(owner ~= '' and told(seconds, owner) and { ALL, owner } or { ALL }) do
      add_to_history(seconds, of, model, numbers)
      redis.call('EXPIRE', bucket(seconds, of), lasts)
    end
  end
end

-- How many jobs of a model wait and run at this moment, and how many slots there are.
local function sample(model)
  local numbers = { queued = redis.call('ZCARD', KEY.deadlines .. model), busy = redis.call('ZCARD', KEY.leases .. model), slots = 0 }
  for _, slots in ipairs(redis.call('HVALS', KEY.slots .. model)) do numbers.slots = numbers.slots + (tonumber(slots) or 0) end
  if numbers.queued + numbers.busy + numbers.slots == 0 then return end
  numbers.samples = 1
  local seconds, lasts = unpack(BUCKETS[2])
  add_to_history(seconds, ALL, model, numbers)
  redis.call('EXPIRE', bucket(seconds, ALL), lasts)
end
