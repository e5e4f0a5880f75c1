#!lua flags=allow-oom
-- ARGV: call, `*` for the owner who holds the most bytes, or `:` and the owner, things and bytes that are to go, things that may go at
-- most, then the kinds
-- Returns id and words of all that went: the owner's first things of these kinds, with their parts.
local function has_any(owner)
  for n = 6, #ARGV do
    if counted('things:' .. ARGV[n] .. ':' .. owner) > 0 then return true end
  end
end

local owner = ARGV[2]:sub(2)
if ARGV[2] == '*' then
  for _, name in ipairs(redis.call('ZREVRANGE', KEY.archive_owners, 0, -1)) do
    if has_any(name) then
      owner = name
      break
    end
  end
end

-- The first of an owner's things of these kinds.
local function first()
  local best, place
  for n = 6, #ARGV do
    local leaf = redis.call('ZRANGE', KEY.archive_list .. ARGV[n] .. ':' .. owner, 0, 0)[1]
    local head = leaf and redis.call('ZRANGE', KEY.archive_leaf .. leaf, 0, 0, 'WITHSCORES')
    if head and (not place or tonumber(head[2]) < place) then best, place = head[1], tonumber(head[2]) end
  end
  return best
end

local things, bytes, most, gone, seen = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), {}, 0
repeat
  local id = first()
  if not id then break end
  remove(id, find(id), gone)
  while seen < #gone do
    local went = cmsgpack.unpack(gone[seen + 2])
    things, bytes, most, seen = things - 1, bytes - weigh(went), most - 1, seen + 2
  end
until most <= 0 or (things <= 0 and bytes <= 0)
return answer(gone)
