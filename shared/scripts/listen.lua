#!lua flags=allow-oom
-- A gateway process listens: its reply stream is there, and short.
-- ARGV: reply stream, seconds that it lasts, id of the last entry that was read
-- Returns 1 when the stream was there, 0 when it is new, and the id of its last entry. One that lies before what was read says that
--         the server's clock, or its memory, went back: what comes next would not be read.
local reply, ttl, cursor = unpack(ARGV)
local there = redis.call('EXISTS', reply)
if there == 1 then
  redis.call('XTRIM', reply, 'MINID', cursor)
else
  -- XADD without NOMKSTREAM would leave an entry; a group is the one way to an empty stream.
  redis.call('XGROUP', 'CREATE', reply, 'reader', '$', 'MKSTREAM')
end
redis.call('EXPIRE', reply, ttl)
local info = redis.call('XINFO', 'STREAM', reply)
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then return { there, info[i + 1] } end
end
