#!lua flags=allow-oom
-- Write something after which WAITAOF can be asked, and look whether jobs are still there: a server that was restarted, or became
-- the master, since they were accepted may lack them. See gateway/durability.py.
-- ARGV: ids of jobs
-- Returns of each, in this order, whether its ticket exists: 1 or 0. Key: iq:written, when this was last done.
redis.call('SET', 'iq:written', now)
local there = {}
for i, id in ipairs(ARGV) do there[i] = redis.call('EXISTS', ticket(id)) end
return there
