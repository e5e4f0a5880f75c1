#!lua flags=allow-oom
-- Memory is short: records of jobs that have ended go, those first whose time to live would end first. One that a client at some gateway
-- may be reading still is left: it would be taken for lost, and computed again. Of all who see the shortage one makes room at a time.
-- ARGV: who asks, bytes to be freed, most records to go
-- Returns {records that went, bytes that they took, about}.
local TURN, READ_UNTIL = 900, 15000 -- milliseconds; everybody who waits has been compared with the ticket by then
local name, wanted, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local turn = redis.call('HMGET', KEY.evicting, 'name', 'since')
if turn[1] and turn[1] ~= name and now >= tonumber(turn[2]) and now - turn[2] < TURN then return { 0, 0 } end
redis.call('HSET', KEY.evicting, 'name', name, 'since', now)
redis.call('EXPIRE', KEY.evicting, REMEMBERED)
local gone, freed = 0, 0
for _, id in ipairs(redis.call('ZRANGE', KEY.retained, 0, most - 1)) do
  if freed >= wanted then break end
  local t = redis.call('HMGET', ticket(id), 'ended', 'reply', 'idempotency')
  if not t[1] then
    redis.call('ZREM', KEY.retained, id) -- it is gone, or was put back by version 0.2.0
  elseif t[2] == '' or now - t[1] >= READ_UNTIL then
    redis.call('ZREM', KEY.retained, id)
    for _, key in ipairs({ ticket(id), KEY.events .. id }) do freed = freed + (redis.call('MEMORY', 'USAGE', key) or 0) end
    redis.call('DEL', ticket(id), KEY.events .. id)
    if t[3] and redis.call('HGET', t[3], 'job') == id then redis.call('DEL', t[3]) end
    gone = gone + 1
  end
end
return { gone, freed }
