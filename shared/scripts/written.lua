#!lua flags=allow-oom
-- Write something after which WAITAOF can be asked, and look whether jobs are still there, and known as promised: a server that was
-- restarted, or became the master, since they were accepted or joined may lack that. See gateway/durability.py.
-- ARGV: ids of jobs
-- Returns of each, in this order, whether it is: 1 or 0. Key: iq:written, when this was last done.
redis.call('SET', KEY.written, now)
local there = {}
for i, id in ipairs(ARGV) do
  local t = redis.call('HMGET', ticket(id), 'kept', 'ended')
  there[i] = (t[1] or t[2]) and 1 or 0
end
return there
