#!lua flags=no-writes
-- ARGV: nothing, list, the place after which to look (empty: from the beginning), `desc` or `asc`, how many are wanted, then texts that
-- their words must have in them
-- Returns the place that was looked at last, empty at the list's end, then id and words of each that was found.
local LEAVES = 10 -- that are looked through in one call
local list, from, descending, wanted = ARGV[2], ARGV[3], ARGV[4] == 'desc', tonumber(ARGV[5])
local beyond = from == '' and (descending and '+inf' or '-inf') or '(' .. from

local function leaves()
  if descending then return redis.call('ZREVRANGEBYSCORE', list, beyond, '-inf', 'LIMIT', 0, LEAVES) end
  return redis.call('ZRANGEBYSCORE', list, from ~= '' and leaf_at(list, from) or '-inf', '+inf', 'LIMIT', 0, LEAVES)
end

-- The ids of a leaf that come now, and the place of the last one.
local function ids_of(leaf)
  local key = KEY.archive_leaf .. leaf
  if descending then
    return redis.call('ZREVRANGEBYSCORE', key, beyond, '-inf'), redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  end
  return redis.call('ZRANGEBYSCORE', key, beyond, '+inf'), redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
end

local function matches(packed)
  for n = 6, #ARGV do
    if not packed:find(ARGV[n], 1, true) then return false end
  end
  return true
end

local found, last, looked = { '' }, '', leaves()
for _, leaf in ipairs(looked) do
  local ids, end_of_leaf = ids_of(leaf)
  local things = #ids > 0 and redis.call('HMGET', KEY.archive_things, unpack(ids)) or {}
  for n, packed in ipairs(things) do
    if packed and matches(packed) then
      found[#found + 1] = ids[n]
      found[#found + 1] = packed
      if #found > 2 * wanted then
        found[1] = tostring(cmsgpack.unpack(packed)[PLACE])
        return found
      end
    end
  end
  last = end_of_leaf
end
found[1] = #looked == LEAVES and last or ''
return found
