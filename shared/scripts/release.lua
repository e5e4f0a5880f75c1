#!lua flags=allow-oom
-- Hand executions back unfinished: their jobs return to the head of the queue in the order of their arrival, and the attempt does
-- not count. What is fenced already is left alone, so a resent command does no harm.
-- ARGV: model, how often a job may be handed back for this reason, or 0 where that is not counted, code and message with which it
--       fails after that, then id and exec of each
-- Returns the number of jobs handed back.
local model, most, code, message = unpack(ARGV, 1, 4)
most = tonumber(most)
local jobs = {}
for i = 5, #ARGV, 2 do
  local id, exec = ARGV[i], ARGV[i + 1]
  local t = redis.call('HMGET', ticket(id), 'exec', 'state', 'created', 'cancel')
  if t[1] == exec and t[2] == 'in_progress' then
    if t[4] == '1' then
      fail(model, id, exec, 'cancelled', 'cancelled', 'The job was cancelled.')
    elseif most > 0 and redis.call('HINCRBY', ticket(id), 'returned', 1) > most then
      fail(model, id, exec, 'failed', code, message)
    else
      redis.call('HINCRBY', ticket(id), 'tries', -1)
      jobs[#jobs + 1] = { id, exec, tonumber(t[3]) }
    end
  end
end
return requeue_in_order(model, jobs)
