#!lua flags=allow-oom
-- Cancel a job. A queued one ends at once; a running one is marked, and its worker is told through RQ's command channel (and
-- learns it with its next append or renewal if it missed that).
-- ARGV: id
-- Returns the job's state after it: 'in_progress' when its worker has yet to end it, '' when there is no such job.
local id = ARGV[1]
local t = redis.call('HMGET', ticket(id), 'state', 'model', 'exec', 'worker')
if t[1] == 'queued' then
  redis.call('LREM', 'rq:queue:' .. t[2], 1, id)
  fail(t[2], id, '', 'cancelled', 'cancelled', 'The job was cancelled.')
  return 'cancelled'
end
if t[1] == 'in_progress' then
  redis.call('HSET', ticket(id), 'cancel', 1)
  redis.call('PUBLISH', 'rq:pubsub:' .. t[4],
    cjson.encode({ command = 'stop-execution', job_id = id, execution_id = t[3] }))
end
return t[1] or ''
