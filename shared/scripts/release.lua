#!lua flags=allow-oom
-- Hand executions back unfinished: their jobs wait again where they waited before, and the attempt does not count. What is fenced already is left alone, so a resent command does no harm.
-- ARGV: model, how often a job may be handed back for this reason, or 0 where that is not counted, code and message with which it
--       fails after that, then id and exec of each
-- Returns the number of jobs handed back.
local model, most, code, message = unpack(ARGV, 1, 4)
most = tonumber(most)
local count = 0
for i = #ARGV - 1, 5, -2 do -- each permit goes to the head
  local id, exec = ARGV[i], ARGV[i + 1]
  local t = redis.call('HMGET', ticket(id), 'exec', 'state', 'cancel')
  if t[1] == exec and t[2] == 'in_progress' then
    if t[3] == '1' then
      fail(model, id, exec, 'cancelled', 'cancelled', 'The job was cancelled.')
    elseif most > 0 and redis.call('HINCRBY', ticket(id), 'returned', 1) > most then
      fail(model, id, exec, 'failed', code, message)
    else
      redis.call('HINCRBY', ticket(id), 'tries', -1)
      requeue(model, id, exec)
      count = count + 1
    end
  end
end
return count
