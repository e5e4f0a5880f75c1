#!lua
-- Accept a job: ticket, task and place in the queue in one step. Refused by Redis when it is out of memory.
-- A client that comes again joins the job of its attempt before, if that lost its connection, instead.
-- ARGV: model, id, owner, most jobs that may wait, milliseconds it may wait, seconds to keep it once final, reply stream or '',
--       the visitor (the id that its client's request came with) or '', clients that wait (0 or 1), 1 where the answer is read as it
--       comes else 0, fingerprint of the request, the client's count of attempts (0 the first), Idempotency-Key with its owner or '',
--       1 to put back a job that was accepted before, and that Redis has lost or has cancelled because it had forgotten who waits for
--       it, else 0, the encoded `Accepted`,
--       and its head, which is all that an answer needs of it,
--       tier, weight of the owner, jobs that the owner may have waiting and running, or 0 for any number (nobody has no bound),
--       bytes that those may hold, or 0 for any; bytes that the jobs of all may, 0 when none is to be accepted, or -1 for any,
--       what is to be stored with the answer, or '' where that is not stored; answers that may wait to be stored, and bytes that they may
--       hold, or -1 for any, the conversation that gets the answer or '', the trail of its prompt or '', then the fields and values of
--       RQ's job hash
-- Returns {1, jobs that wait} when accepted, also when the same id was accepted before (a resent command);
--         {0, jobs waiting} when the queue is full, which is no reason not to put one back; {2, id} when it joined that job;
--         {3, id} when the Idempotency-Key belongs to another request; {4, jobs that the owner has} when those are too many;
--         {5, bytes that they hold} when that is too much; {6, bytes that the jobs of all hold} when that is;
--         {7, answers that wait to be stored} when those are too many, or hold too much, and this one would be stored, too.
--         Of several reasons the first one in this order: 0, 4, 5, 6, 7.
local model, id, owner, most, wait, keep, reply, visitor = unpack(ARGV, 1, 8)
local waits, parts, fingerprint, attempt, idempotency, again, task, head, tier, weight = unpack(ARGV, 9, 18)
local own_most, own_bytes, all_bytes = tonumber(ARGV[19]), tonumber(ARGV[20]), tonumber(ARGV[21])
local given, most_unarchived, unarchived_bytes, conversation = ARGV[22], tonumber(ARGV[23]), tonumber(ARGV[24]), ARGV[25]
local trail = ARGV[26]
waits, parts, again = waits == '1', parts == '1', again == '1'
local queue = KEY.rq_queue .. model
local known = redis.call('HGET', ticket(id), 'state')
if again and known == 'cancelled' and redis.call('HGET', ticket(id), 'deserted') then
  let_go(id) -- of what waits to be stored
  redis.call('DEL', ticket(id), KEY.events .. id)
  known = nil
end
if known then
  if known == 'queued' or known == 'in_progress' then admit(id, visitor, reply, waits, parts) end
  return { 1, redis.call('ZCARD', waiting(model)) }
end
local function join(other)
  if not redis.call('HGET', ticket(other), 'ended') then admit(other, visitor, reply, waits, parts) end
  redis.call('HSET', ticket(other), 'joined', 1)
  return { 2, other }
end
local key = KEY.idempotency .. idempotency
local holder = idempotency ~= '' and redis.call('HMGET', key, 'job', 'fingerprint') or {}
if holder[1] and redis.call('EXISTS', ticket(holder[1])) == 0 then holder = {} end
if holder[1] and not again then
  if holder[2] ~= fingerprint then return { 3, holder[1] } end
  if joinable(holder[1]) then return join(holder[1]) end
end
if tonumber(attempt) > 0 and not again then
  local mine = redis.call('GET', KEY.joined .. visitor)
  if mine and joinable(mine) then return join(mine) end -- a resent command
  local orphans = KEY.orphans .. fingerprint .. ':' .. (attempt - 1)
  for _ = 1, LOOK do
    local orphan = redis.call('LPOP', orphans)
    if not orphan then break end
    redis.call('HDEL', ticket(orphan), 'orphan')
    if joinable(orphan) and redis.call('HGET', ticket(orphan), 'waiting') == '' then
      redis.call('SET', KEY.joined .. visitor, orphan, 'EX', REMEMBERED)
      return join(orphan)
    end
  end
end
local others = redis.call('ZCARD', KEY.deadlines .. model)
local bytes, counted = #task + #head + #given + FRAME, not former()
if not again then
  if others >= tonumber(most) then return { 0, others } end
  if own_most > 0 and owned(owner, own_most) >= own_most then return { 4, redis.call('SCARD', KEY.owned .. owner) } end
  if counted and own_bytes > 0 and owner ~= '' and bytes_of(owner) + bytes > own_bytes then return { 5, bytes_of(owner) } end
  if all_bytes == 0 or counted and all_bytes > 0 and bytes_of(ALL) + bytes > all_bytes then return { 6, bytes_of(ALL) } end
  local ended = given ~= '' and redis.call('ZCOUNT', KEY.unarchived, '(0', '+inf') or 0
  if ended > 0 and (ended >= most_unarchived or unarchived_bytes >= 0 and bytes_of(UNARCHIVED) > unarchived_bytes) then return { 7, ended } end
end
redis.call('HSET', ticket(id), 'state', 'queued', 'model', model, 'owner', owner, 'tier', tier,
  'created', now, 'wait', wait, 'deadline', now + wait,
  'keep', keep, 'seq', 0, 'by', '', 'tokens', 0, 'tries', 0, 'cancel', 0, 'exec', '', 'reply', '', 'waiting', '', 'head', head)
if trail ~= '' then redis.call('HSET', ticket(id), 'trail', trail) end
if counted then hold(id, owner, bytes) end
if given ~= '' then
  redis.call('SET', KEY.given .. id, given)
  redis.call('ZADD', KEY.unarchived, 0, id)
  if conversation ~= '' then redis.call('HSET', ticket(id), 'conversation', conversation) end
end
redis.call('ZREM', KEY.retained, id) -- what is put back
if idempotency ~= '' and not (again and holder[1]) then
  redis.call('HSET', ticket(id), 'idempotency', key)
  redis.call('HSET', key, 'job', id, 'fingerprint', fingerprint)
  redis.call('PEXPIRE', key, DAY)
end
redis.call('SET', KEY.task .. id, task)
if older() then begin(id) end
redis.call('HSET', KEY.rq_job .. id, unpack(ARGV, 27))
redis.call('SADD', KEY.rq_queues, queue)
redis.call('ZADD', KEY.deadlines .. model, now + wait, id)
if owner ~= '' then redis.call('SADD', KEY.owned .. owner, id) end
if weight == '1' then
  redis.call('HDEL', KEY.weights, owner)
else
  redis.call('HSET', KEY.weights, owner, weight)
end
enlist(model, id)
redis.call('RPUSH', queue, id)
if tier ~= 'flex' and not older() then preempt(model) end -- whose free slots are not known
admit(id, visitor, reply, waits, parts)
return { 1, others + 1 }
