#!lua
-- Accept a job: ticket, stream entry 0 and queue entry in one step. Refused by Redis when it is out of memory.
-- A client that comes again joins the job of its attempt before, if that lost its connection, instead.
-- ARGV: model, id, owner, most jobs that may wait, milliseconds it may wait, seconds to keep it once final, reply stream or '',
--       clients that wait (0 or 1), fingerprint of the request, the client's count of attempts (0 the first), Idempotency-Key
--       with its owner or '', the encoded `Accepted`, then the fields and values of RQ's job hash
-- Returns {1, place in the queue from 1} when accepted, also when the same id was accepted before (a resent command);
--         {0, jobs waiting} when the queue is full; {2, id} when it joined that job;
--         {3, id} when the Idempotency-Key belongs to another request.
local model, id, owner, most, wait, keep, reply, waits, fingerprint, attempt, idempotency, accepted = unpack(ARGV, 1, 12)
waits = waits == '1'
local queue = 'rq:queue:' .. model
if redis.call('EXISTS', ticket(id)) == 1 then return { 1, redis.call('LLEN', queue) } end
local key = 'iq:idempotency:' .. idempotency
if idempotency ~= '' then
  local other = redis.call('HMGET', key, 'job', 'fingerprint')
  if other[1] and redis.call('EXISTS', ticket(other[1])) == 1 then
    if other[2] ~= fingerprint then return { 3, other[1] } end
    if joinable(other[1]) then
      join(other[1], id, waits)
      return { 2, other[1] }
    end
  end
end
if tonumber(attempt) > 0 then
  for _, orphan in ipairs(redis.call('LRANGE', 'iq:orphans:' .. fingerprint .. ':' .. (attempt - 1), 0, -1)) do
    local waiting = redis.call('HGET', ticket(orphan), 'waiting')
    if joinable(orphan) and (waiting == '' or waiting == id) then -- nobody has it, or this is a resent command
      join(orphan, id, waits)
      return { 2, orphan }
    end
  end
end
local waiting = redis.call('LLEN', queue)
if waiting >= tonumber(most) then return { 0, waiting } end
redis.call('HSET', ticket(id), 'state', 'queued', 'model', model, 'owner', owner, 'created', now, 'deadline', now + wait,
  'keep', keep, 'seq', 0, 'tries', 0, 'cancel', 0, 'exec', '', 'reply', reply, 'waiting', waits and id or '')
if idempotency ~= '' then
  redis.call('HSET', ticket(id), 'idempotency', key)
  redis.call('HSET', key, 'job', id, 'fingerprint', fingerprint)
  redis.call('PEXPIRE', key, 86400000)
end
redis.call('XADD', 'iq:events:' .. id, '0-1', 'f', 0, 'e', accepted)
redis.call('HSET', 'rq:job:' .. id, unpack(ARGV, 13))
redis.call('SADD', 'rq:queues', queue)
redis.call('ZADD', 'iq:deadlines:' .. model, now + wait, id)
redis.call('RPUSH', queue, id)
return { 1, waiting + 1 }
