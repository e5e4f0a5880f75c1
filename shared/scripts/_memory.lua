-- What jobs take of Redis's memory. One that waits or runs *holds* bytes, about those of its parts, which are counted for its owner and
-- for all; its end gives them back. The records of those that have ended are *retained*, and make room, the oldest first: see evict.lua.
-- An answer that is to be stored holds them beyond its end, for all but not for its owner, and does not make room before it is.
-- While version 0.2.0 or 0.1.0 lives, whose ends give nothing back, no further job is counted.
local FRAME = 6000 -- bytes of a job beside its task and its events: ticket, places, RQ's hash, and a stream that is begun
local ALL, UNARCHIVED = '*', '*unarchived' -- are nobody's names; the second: of all, those that have ended and wait to be stored
local AT_ONCE = 1000 -- milliseconds within which the gateway that has sent an answer stores it; then any other one does
local LONGEST_LIFE = 172800 -- seconds: longer than a job waits, or runs. What version 0.2.0 would leave behind lasts no longer.

local function former() return redis.call('EXISTS', KEY.former) == 1 end

local function bytes_of(owner) return tonumber(redis.call('HGET', KEY.bytes, owner) or 0) end

local function add_bytes(of, bytes)
  if redis.call('HINCRBY', KEY.bytes, of, bytes) == 0 then redis.call('HDEL', KEY.bytes, of) end
  redis.call('EXPIRE', KEY.bytes, LONGEST_LIFE)
end

local function count_bytes(owner, bytes)
  add_bytes(ALL, bytes)
  if owner ~= '' then add_bytes(owner, bytes) end
end

-- A job that is accepted holds so many bytes.
local function hold(id, owner, bytes)
  redis.call('HSET', ticket(id), 'bytes', bytes)
  count_bytes(owner, bytes)
end

-- A job has ended: of its parts the record is left. One that is to be stored holds that until it is.
local function give_back(id, owner, unarchived)
  local bytes, task = redis.call('HGET', ticket(id), 'bytes'), redis.call('STRLEN', KEY.task .. id)
  redis.call('DEL', KEY.task .. id)
  if not bytes then return end
  count_bytes(owner, -bytes)
  if unarchived then
    redis.call('HSET', ticket(id), 'bytes', bytes - task)
    for _, of in ipairs({ ALL, UNARCHIVED }) do add_bytes(of, bytes - task) end
  else
    redis.call('HDEL', ticket(id), 'bytes')
  end
end

-- The job waits no longer to be stored. Returns whether it did.
local function let_go(id)
  redis.call('DEL', KEY.given .. id)
  if redis.call('ZREM', KEY.unarchived, id) == 0 then return false end
  local t = redis.call('HMGET', ticket(id), 'bytes', 'ended')
  if t[1] and t[2] then
    redis.call('HDEL', ticket(id), 'bytes')
    for _, of in ipairs({ ALL, UNARCHIVED }) do add_bytes(of, -t[1]) end
  end
  return true
end

-- The record of a job that has ended may go: in its time, or before where memory is short.
local function retire(id)
  local t = redis.call('HMGET', ticket(id), 'keep', 'idempotency')
  local keep, key = t[1], t[2]
  redis.call('ZADD', KEY.retained, now + keep * 1000, id)
  if redis.call('TTL', KEY.retained) < tonumber(keep) then redis.call('EXPIRE', KEY.retained, keep) end
  redis.call('EXPIRE', ticket(id), keep)
  redis.call('EXPIRE', KEY.events .. id, keep)
  if key and redis.call('HGET', key, 'job') == id then redis.call('EXPIRE', key, keep) end -- without its job it is of no use
end

-- It may not, before it is stored.
local function retain(id)
  redis.call('PERSIST', ticket(id))
  redis.call('PERSIST', KEY.events .. id)
  redis.call('ZREM', KEY.retained, id)
  redis.call('ZADD', KEY.unarchived, now + AT_ONCE, id)
end

-- What the jobs of these models hold, by owner, from their tickets.
local function add_up(models)
  local sums = {}
  local function add(of, bytes) sums[of] = (sums[of] or 0) + bytes end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.unarchived, '(0', '+inf')) do
    local bytes = redis.call('HGET', ticket(id), 'bytes')
    for _, of in ipairs(bytes and { ALL, UNARCHIVED } or {}) do add(of, bytes) end
  end
  for _, model in ipairs(models) do
    for _, index in ipairs({ KEY.deadlines, KEY.leases }) do
      for _, id in ipairs(redis.call('ZRANGE', index .. model, 0, -1)) do
        local t = redis.call('HMGET', ticket(id), 'bytes', 'owner', 'ended')
        if t[1] and not t[3] then
          for _, of in ipairs({ ALL, t[2] ~= '' and t[2] or nil }) do add(of, t[1]) end
        end
      end
    end
  end
  return sums
end
