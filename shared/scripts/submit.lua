#!lua
-- Accept a job: ticket, stream entry 0 and queue entry in one step. Refused by Redis when it is out of memory.
-- ARGV: model, id, owner, most jobs that may wait, milliseconds it may wait, seconds to keep it once final, reply stream or '',
--       the encoded `Accepted`, then the fields and values of RQ's job hash
-- Returns {1, place in the queue from 1} when accepted, also when the same id was accepted before (a resent command);
--         {0, jobs waiting} when the queue is full.
local model, id, owner, most, wait, keep, reply, accepted = unpack(ARGV, 1, 8)
local queue = 'rq:queue:' .. model
if redis.call('EXISTS', ticket(id)) == 1 then return { 1, redis.call('LLEN', queue) } end
local waiting = redis.call('LLEN', queue)
if waiting >= tonumber(most) then return { 0, waiting } end
redis.call('HSET', ticket(id), 'state', 'queued', 'model', model, 'owner', owner, 'created', now, 'deadline', now + wait,
  'keep', keep, 'seq', 0, 'tries', 0, 'cancel', 0, 'exec', '', 'reply', reply)
redis.call('XADD', 'iq:events:' .. id, '0-1', 'f', 0, 'e', accepted)
redis.call('HSET', 'rq:job:' .. id, unpack(ARGV, 9))
redis.call('SADD', 'rq:queues', queue)
redis.call('ZADD', 'iq:deadlines:' .. model, now + wait, id)
redis.call('RPUSH', queue, id)
return { 1, waiting + 1 }
