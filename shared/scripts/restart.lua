#!lua flags=allow-oom
-- Have a job computed anew, as if nothing had been sent of its answer: it cannot be continued, and nobody has read a part of it.
-- ARGV: model, id, exec
-- Returns 1 when the job is back in the queue, 0 when somebody reads the answer as it comes,
--         -1 when the job is another execution's (also when the command is resent).
local model, id, exec = unpack(ARGV)
local t = redis.call('HMGET', ticket(id), 'exec', 'state', 'parts', 'seq', 'cancel')
if t[1] ~= exec or t[2] ~= 'in_progress' then return -1 end
if t[3] then return 0 end
if t[5] == '1' then
  fail(model, id, exec, 'cancelled', 'cancelled', 'The job was cancelled.')
  return 1
end
local task = accepted(id)
redis.call('DEL', KEY.events .. id)
redis.call('SET', KEY.task .. id, task)
begin(id)
emit(id, t[4] + 1, t[4] + 1, '0', '[{"type":"StartOver"}]')
redis.call('HSET', ticket(id), 'tokens', 0)
requeue(model, id, exec)
return 1
