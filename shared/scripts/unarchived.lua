#!lua flags=allow-oom
-- What there is to do for answers that are to be stored: those that have ended are handed out, each to one gateway at a time, and some of
-- the others are looked at. Where those have ended under version 0.1.0 or 0.2.0, their records shall last as well.
-- ARGV: most of each, milliseconds after which those that were handed out are due again, a cursor (0 at first)
-- Returns {ids that have ended, ids of the others, next cursor}.
local most, patience, cursor = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local ended, others = {}, {}
if redis.call('EXISTS', KEY.unarchived) == 0 then return { ended, others, 0 } end
redis.call('EXPIRE', KEY.bytes, LONGEST_LIFE)
for _, times in ipairs({ { '(0', now }, { '(' .. now + math.max(patience, AT_ONCE), '+inf' } }) do -- or the clock has jumped back
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.unarchived, times[1], times[2], 'LIMIT', 0, most)) do
    redis.call('ZADD', KEY.unarchived, now + patience, id)
    ended[#ended + 1] = id
  end
end
local page = redis.call('ZSCAN', KEY.unarchived, cursor, 'COUNT', most)
for i = 1, #page[2], 2 do
  local id = page[2][i]
  if page[2][i + 1] == '0' then
    local t = redis.call('HMGET', ticket(id), 'model', 'ended', 'owner')
    if not t[1] then
      let_go(id) -- nobody has put it back
    elseif t[2] then
      give_back(id, t[3] or '', true)
      retain(id)
    else
      others[#others + 1] = id
    end
  end
end
return { ended, others, tonumber(page[1]) }
