#!lua flags=allow-oom
-- Cancel a job.
-- ARGV: id, 1 to leave it alone when a client has joined it, else 0
-- Returns the job's state after it: 'in_progress' when its worker has yet to end it, '' when there is no such job.
if ARGV[2] == '1' and redis.call('HGET', ticket(ARGV[1]), 'joined') then
  return redis.call('HGET', ticket(ARGV[1]), 'state')
end
redis.call('HDEL', ticket(ARGV[1]), 'deserted')
return cancel(ARGV[1])
