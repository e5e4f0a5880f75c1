#!lua flags=allow-oom
-- Hand executions back unfinished: their jobs return to the head of the queue in the order of their arrival, and the attempt does
-- not count. What is fenced already is left alone, so a resent command does no harm.
-- ARGV: model, then id and exec of each
-- Returns the number of jobs handed back.
local jobs = {}
for i = 2, #ARGV, 2 do
  local id, exec = ARGV[i], ARGV[i + 1]
  local t = redis.call('HMGET', ticket(id), 'exec', 'state', 'created', 'cancel')
  if t[1] == exec and t[2] == 'in_progress' then
    if t[4] == '1' then
      fail(ARGV[1], id, exec, 'cancelled', 'cancelled', 'The job was cancelled.')
    else
      redis.call('HINCRBY', ticket(id), 'tries', -1)
      jobs[#jobs + 1] = { id, exec, tonumber(t[3]) }
    end
  end
end
return requeue_in_order(ARGV[1], jobs)
