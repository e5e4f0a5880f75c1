#!lua flags=no-writes
-- Which jobs have ended whose answers a conversation is to get, and has not yet.
-- ARGV: its id
-- Returns their ids, the first that ended first.
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.unarchived, former() and '-inf' or '(0', '+inf')) do
  local t = redis.call('HMGET', ticket(id), 'conversation', 'ended', 'removed')
  if t[1] == ARGV[1] and t[2] and not t[3] then found[#found + 1] = { id, tonumber(t[2]) } end
end
table.sort(found, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
for i, one in ipairs(found) do found[i] = one[1] end
return found
