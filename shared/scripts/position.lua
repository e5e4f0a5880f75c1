#!lua flags=no-writes
-- A job's place in the queue.
-- ARGV: id
-- Returns how many are served before it, if none comes that overtakes it, and its own; 0 when it does not wait.
local t = redis.call('HMGET', ticket(ARGV[1]), 'state', 'model', 'place')
if t[1] ~= 'queued' or not t[3] then return 0 end
return ahead(t[2], t[3]) + 1
