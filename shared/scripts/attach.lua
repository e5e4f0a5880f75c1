#!lua flags=allow-oom
-- Have a job's further events written to one more reply stream. Streams whose gateway is gone are dropped on the way.
-- ARGV: id, reply stream
-- Returns the job's state, '' when there is no such job.
local id, stream = ARGV[1], ARGV[2]
local state = redis.call('HGET', ticket(id), 'state')
if not state then return '' end
local streams = {}
for other in string.gmatch(redis.call('HGET', ticket(id), 'reply'), '%S+') do
  if other ~= stream and redis.call('EXISTS', other) == 1 then streams[#streams + 1] = other end
end
streams[#streams + 1] = stream
redis.call('HSET', ticket(id), 'reply', table.concat(streams, ' '))
return state
