#!lua flags=allow-oom
-- ARGV: call, now (Unix time in seconds), how many are to go at most, beside their parts
-- Returns id and words of all that went.
local ENOUGH = 50 -- leaves that are looked through in one call, where something was found
local at, room, looked, gone = tonumber(ARGV[2]), tonumber(ARGV[3]), 0, {}
while room > 0 and (looked < ENOUGH or #gone == 0) do
  local leaf = redis.call('ZRANGEBYSCORE', KEY.archive_due, '-inf', at, 'LIMIT', 0, 1)[1]
  if not leaf then break end
  looked = looked + 1
  local soonest
  for _, id in ipairs(redis.call('ZRANGE', KEY.archive_leaf .. leaf, 0, -1)) do
    local thing = find(id)
    if thing and thing[EXPIRES] > 0 then -- it may have gone as a part
      if thing[EXPIRES] <= at and room > 0 then
        remove(id, thing, gone)
        room = room - 1
      else
        soonest = math.min(soonest or thing[EXPIRES], thing[EXPIRES])
      end
    end
  end
  if soonest then
    redis.call('ZADD', KEY.archive_due, soonest, leaf)
  else
    redis.call('ZREM', KEY.archive_due, leaf)
  end
end
return answer(gone)
