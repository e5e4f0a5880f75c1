#!lua flags=allow-oom
-- Renew the leases of a worker's executions.
-- ARGV: model, lease in milliseconds, then id and exec of each
-- Returns one answer each: 1 renewed, 2 renewed and to be cancelled, 3 renewed and to be handed
--         back for a better job, 0 fenced.
local model, lease = ARGV[1], ARGV[2]
local answers = {}
for i = 3, #ARGV, 2 do
  local id, exec = ARGV[i], ARGV[i + 1]
  local t = redis.call('HMGET', ticket(id), 'exec', 'state', 'cancel', 'preempt')
  if t[1] ~= exec or t[2] ~= 'in_progress' then
    answers[#answers + 1] = 0
  else
    redis.call('ZADD', KEY.leases .. model, now + lease, id)
    answers[#answers + 1] = t[3] == '1' and 2 or t[4] and 3 or 1
  end
end
return answers
