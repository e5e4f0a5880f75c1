#!lua flags=allow-oom
-- Add events to a job, and end it when `state` is a final one: the append of `Done` or `Failed` IS the end.
-- ARGV: model, id, exec, sequence number of the first event, number of events, final state or '', the encoded events,
--       the last of them once more when the state is final, else '', number of their tokens
-- Returns {answer, sequence number of the last event that is stored}. Answers:
--    1 stored, also when the same events were stored before (a resent command)
--    2 stored, and the job is to be cancelled
--    3 stored, and the job is to be handed back for a better one
--    0 fenced: the job is another execution's, or was ended by somebody else; nothing was stored
--   -1 send again from the returned number + 1: the server lost events (failover), or half of this resend is there already
local model, id, exec, first, count, state, blob, ending, tokens = unpack(ARGV)
local t = redis.call('HMGET', ticket(id), 'exec', 'seq', 'cancel', 'state', 'by', 'preempt')
local answer = t[3] == '1' and 2 or t[6] and 3 or 1
local stored = tonumber(t[2] or 0)
if t[1] ~= exec then return { 0, stored } end
first = tonumber(first)
local last = first + tonumber(count) - 1
if last <= stored then
  if t[5] ~= exec then return { 0, stored } end
  return { answer, stored }
end
if t[4] ~= 'in_progress' then return { 0, stored } end
if first ~= stored + 1 then return { -1, stored } end
emit(id, first, last, exec, blob)
redis.call('HINCRBY', ticket(id), 'tokens', tokens)
if state ~= '' then finish(model, id, exec, state, cjson.decode(ending)[1]) end
return { answer, last }
