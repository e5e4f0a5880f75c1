-- The archive's index in Redis. A *thing* is a field of one hash. A *list* (of an owner's things of a kind, or of a thing's parts) is a
-- sorted set of *leaves*, each a sorted set of some ids by their places, so small that Redis packs it. A leaf is called by the first place
-- that it was made for. Places are handed out once, in the order of addition.
-- ARGV[1]: what the call is known by, empty for one that only reads. One that comes again is answered as it was before.
local KIND, OWNER, EXPIRES, FACTS, BLOB, SIZE, PARENT, VERSION, PLACE = 1, 2, 4, 5, 6, 7, 8, 9, 10 -- in a thing; 3 is its creation
local FULL = 100 -- ids of a leaf. Beyond zset-max-listpack-entries (128) Redis would unpack it.
local FRAME = 190 -- bytes of a thing in Redis beside what it says itself: its id, twice, and its place in a table
local CALLED = 30 -- seconds in which redis-py sends a call again whose answer was lost
local LARGEST = 1048576 -- bytes of an answer that is kept for it

if ARGV[1] ~= '' then
  local told = redis.call('GET', KEY.archive_call .. ARGV[1])
  if told then return cmsgpack.unpack(told) end
end

local function find(id)
  local packed = redis.call('HGET', KEY.archive_things, id)
  if packed then return cmsgpack.unpack(packed), #packed end
end

local function list_of(thing)
  if thing[PARENT] ~= '' then return KEY.archive_parts .. thing[PARENT] end
  return KEY.archive_list .. thing[KIND] .. ':' .. thing[OWNER]
end

-- The leaf of a list that has that place, or would have it.
local function leaf_at(list, place) return redis.call('ZREVRANGEBYSCORE', list, place, '-inf', 'LIMIT', 0, 1)[1] end

local function note_expiry(leaf, expires)
  if expires > 0 then redis.call('ZADD', KEY.archive_due, 'LT', expires, leaf) end
end

-- Counts, as they change. `taken` are the bytes of all things in Redis; `things` and `bytes` (their weights) stand for all owners and for
-- each, of all kinds and of each.
local changes = {}

local function count(thing, things, bytes, taken)
  local whose = thing[KIND] .. ':' .. thing[OWNER]
  local sum = changes[whose]
  if not sum then
    sum = { kind = thing[KIND], owner = thing[OWNER], things = 0, bytes = 0, taken = 0 }
    changes[whose] = sum
  end
  sum.things, sum.bytes, sum.taken = sum.things + things, sum.bytes + bytes, sum.taken + taken
end

local function counted(what) return tonumber(redis.call('HGET', KEY.archive_counts, what) or 0) end

local function add_to(what, by)
  if by ~= 0 and redis.call('HINCRBY', KEY.archive_counts, what, by) == 0 then redis.call('HDEL', KEY.archive_counts, what) end
end

-- The end of a call that has changed something.
local function answer(reply)
  for whose, sum in pairs(changes) do
    for _, of in ipairs({ '*', '*:' .. sum.owner, sum.kind, whose }) do
      add_to('things:' .. of, sum.things)
      add_to('bytes:' .. of, sum.bytes)
    end
    add_to('taken', sum.taken)
    if counted('things:*:' .. sum.owner) > 0 then
      redis.call('ZADD', KEY.archive_owners, counted('bytes:*:' .. sum.owner), sum.owner)
    else
      redis.call('ZREM', KEY.archive_owners, sum.owner)
    end
  end
  local told = cmsgpack.pack(reply)
  if #told <= LARGEST then
    redis.call('SET', KEY.archive_call .. ARGV[1], told, 'EX', CALLED)
  else
    redis.call('SET', KEY.archive_call .. ARGV[1] .. ':large', '', 'EX', CALLED) -- for written.lua
  end
  return reply
end

local function weigh(thing) return thing[SIZE] + #thing[FACTS] end

-- Things of one leaf go. `gone` gets the id and the words of each.
local function forget(ids, gone)
  for n, packed in ipairs(redis.call('HMGET', KEY.archive_things, unpack(ids))) do
    if packed then
      local thing = cmsgpack.unpack(packed)
      count(thing, -1, -weigh(thing), -#packed - FRAME)
      gone[#gone + 1] = ids[n]
      gone[#gone + 1] = packed
    end
  end
  redis.call('HDEL', KEY.archive_things, unpack(ids))
end

-- What tells a thing that went from an owner's others that did: short, so that Redis packs them.
local function mark(kind, id) return redis.sha1hex(kind .. ':' .. id):sub(1, 16) end

-- A thing goes by itself: who reads on in its list after it is to find his place for a while.
local function remember(id, thing)
  local recent, owner = KEY.archive_gone .. thing[OWNER], thing[OWNER]
  if redis.call('HLEN', recent) >= MOST_REMEMBERED / 2 then redis.call('RENAME', recent, KEY.archive_gone_before .. owner) end
  redis.call('HSET', recent, mark(thing[KIND], id), thing[PLACE])
  redis.call('EXPIRE', recent, REMEMBERED)
  redis.call('ZADD', KEY.archive_gone_owners, redis.call('TIME')[1], owner)
  redis.call('EXPIRE', KEY.archive_gone_owners, REMEMBERED)
  if redis.call('ZCARD', KEY.archive_gone_owners) > MOST_REMEMBERED_OF_ALL / MOST_REMEMBERED then
    local other = redis.call('ZPOPMIN', KEY.archive_gone_owners)[1]
    redis.call('DEL', KEY.archive_gone .. other, KEY.archive_gone_before .. other)
  end
end

-- A thing goes, and first its parts.
local function remove(id, thing, gone)
  remember(id, thing)
  local parts = KEY.archive_parts .. id
  for _, leaf in ipairs(redis.call('ZRANGE', parts, 0, -1)) do
    forget(redis.call('ZRANGE', KEY.archive_leaf .. leaf, 0, -1), gone)
    redis.call('DEL', KEY.archive_leaf .. leaf)
    redis.call('ZREM', KEY.archive_due, leaf)
  end
  redis.call('DEL', parts)
  local list = list_of(thing)
  local leaf = leaf_at(list, thing[PLACE])
  if leaf then
    redis.call('ZREM', KEY.archive_leaf .. leaf, id)
    if redis.call('EXISTS', KEY.archive_leaf .. leaf) == 0 then
      redis.call('ZREM', list, leaf)
      redis.call('ZREM', KEY.archive_due, leaf)
    end
  end
  forget({ id }, gone)
end
