-- What jobs take of Redis's memory. One that waits or runs *holds* bytes, about those of its parts, which are counted for its owner and
-- for all; its end gives them back. The records of those that have ended are *retained*, and make room, the oldest first: see evict.lua.
-- While version 0.2.0 or 0.1.0 lives, whose ends give nothing back, no further job is counted.
local FRAME = 6000 -- bytes of a job beside its task and its events: ticket, places, RQ's hash, and a stream that is begun
local ALL = '*' -- is nobody's name
local LONGEST_LIFE = 172800 -- seconds: longer than a job waits, or runs. What version 0.2.0 would leave behind lasts no longer.

local function former() return redis.call('EXISTS', KEY.former) == 1 end

local function bytes_of(owner) return tonumber(redis.call('HGET', KEY.bytes, owner) or 0) end

local function count_bytes(owner, bytes)
  for _, of in ipairs({ ALL, owner ~= '' and owner or nil }) do
    if redis.call('HINCRBY', KEY.bytes, of, bytes) == 0 then redis.call('HDEL', KEY.bytes, of) end
  end
  redis.call('EXPIRE', KEY.bytes, LONGEST_LIFE)
end

-- A job that is accepted holds so many bytes.
local function hold(id, owner, bytes)
  redis.call('HSET', ticket(id), 'bytes', bytes)
  count_bytes(owner, bytes)
end

-- A job has ended: of its parts the record is left, for so many seconds at most.
local function give_back(id, owner, keep)
  local bytes = redis.call('HGET', ticket(id), 'bytes')
  if bytes then
    redis.call('HDEL', ticket(id), 'bytes')
    count_bytes(owner, -bytes)
  end
  redis.call('DEL', KEY.task .. id)
  redis.call('ZADD', KEY.retained, now + keep * 1000, id)
  if redis.call('TTL', KEY.retained) < tonumber(keep) then redis.call('EXPIRE', KEY.retained, keep) end
end

-- What the jobs of these models hold, by owner, from their tickets.
local function add_up(models)
  local sums = {}
  for _, model in ipairs(models) do
    for _, index in ipairs({ KEY.deadlines, KEY.leases }) do
      for _, id in ipairs(redis.call('ZRANGE', index .. model, 0, -1)) do
        local t = redis.call('HMGET', ticket(id), 'bytes', 'owner', 'ended')
        if t[1] and not t[3] then
          for _, of in ipairs({ ALL, t[2] ~= '' and t[2] or nil }) do sums[of] = (sums[of] or 0) + t[1] end
        end
      end
    end
  end
  return sums
end
