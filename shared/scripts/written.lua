#!lua flags=allow-oom
-- Write something after which WAITAOF can be asked, and look whether jobs are still there, and known as promised, or what a call has
-- written into the archive's index: a server that was restarted, or became the master, since then may lack that. See gateway/durability.py.
-- ARGV: ids of jobs, and what calls are known by
-- Returns of each, in this order, whether it is: 1 or 0. Key: iq:written, when this was last done.
redis.call('SET', KEY.written, now)
local there = {}
for i, id in ipairs(ARGV) do
  local t = redis.call('HMGET', ticket(id), 'kept', 'ended')
  local call = KEY.archive_call .. id
  there[i] = (t[1] or t[2] or redis.call('EXISTS', call, call .. ':large') > 0) and 1 or 0
end
return there
