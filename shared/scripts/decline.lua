#!lua flags=allow-oom
-- A job that was asked back for a better one cannot go on elsewhere: another one is asked.
-- ARGV: model, id, exec
local model, id, exec = unpack(ARGV)
local t = redis.call('HMGET', ticket(id), 'exec', 'state', 'preempt')
if t[1] ~= exec or t[2] ~= 'in_progress' or not t[3] then return end
redis.call('HDEL', ticket(id), 'preempt')
withhold(model, id)
preempt(model)
