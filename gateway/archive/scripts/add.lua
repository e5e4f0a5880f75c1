#!lua
-- Adds those things that are not there, all of one owner, unless the first one is.
-- ARGV: call, what may be held (things, bytes, bytes of all, bytes of Redis for all; empty for any), then id and words of each
-- Returns `there`, `added`, `missing` and the parent that is not there, or `full`: by how many things and bytes of the owner, by how many
-- bytes of all, and by how many things of all.
if redis.call('HEXISTS', KEY.archive_things, ARGV[6]) == 1 then return answer({ 'there' }) end
local new, order, bytes, taken = {}, {}, 0, 0
for n = 6, #ARGV, 2 do
  local id, thing = ARGV[n], cmsgpack.unpack(ARGV[n + 1])
  if not new[id] and redis.call('HEXISTS', KEY.archive_things, id) == 0 then
    if thing[PARENT] ~= '' then
      local whole = new[thing[PARENT]] or find(thing[PARENT])
      if not whole or whole[OWNER] ~= thing[OWNER] then return { 'missing', thing[PARENT] } end
    end
    new[id], order[#order + 1] = thing, id
    bytes, taken = bytes + weigh(thing), taken + #ARGV[n + 1] + FRAME
  end
end

local function excess(bound, more, what)
  if bound == '' then return 0 end
  return math.max(0, counted(what) + more - tonumber(bound))
end

local owner = new[ARGV[6]][OWNER]
local lack = { excess(ARGV[2], #order, 'things:*:' .. owner), excess(ARGV[3], bytes, 'bytes:*:' .. owner), excess(ARGV[4], bytes, 'bytes:*') }
local crowd = excess(ARGV[5], taken, 'taken')
lack[4] = crowd > 0 and math.ceil(crowd * counted('things:*') / math.max(1, counted('taken'))) or 0
if crowd > 0 and lack[4] == 0 then lack[4] = 1 end
for _, by in ipairs(lack) do
  if by > 0 then return { 'full', unpack(lack) } end
end

for _, id in ipairs(order) do
  local thing = new[id]
  thing[PLACE] = redis.call('INCR', KEY.archive_place)
  local list, packed = list_of(thing), cmsgpack.pack(thing)
  local leaf = redis.call('ZREVRANGE', list, 0, 0)[1]
  if not leaf or redis.call('ZCARD', KEY.archive_leaf .. leaf) >= FULL then
    leaf = thing[PLACE]
    redis.call('ZADD', list, leaf, leaf)
  end
  redis.call('ZADD', KEY.archive_leaf .. leaf, thing[PLACE], id)
  redis.call('HSET', KEY.archive_things, id, packed)
  note_expiry(leaf, thing[EXPIRES])
  count(thing, 1, weigh(thing), #packed + FRAME)
end
return answer({ 'added' })
