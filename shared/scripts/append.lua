#!lua flags=allow-oom
-- Add events to jobs of a worker's executions, and end those that have a final state: the append of `Done` or `Failed` IS the end.
-- Each is on its own: what is wrong with one job fails that one.
-- ARGV: model, and in MessagePack a list of executions: id, exec, sequence number of the first event, number of events, the encoded
--       events, number of their tokens; and where the last of them is the job's: the final state, and what `finish` takes of the event
-- Returns of each, in this order, an error, or {answer, sequence number of the last event that is stored}. Answers:
--    1 stored, also when the same events were stored before (a resent command)
--    2 stored, and the job is to be cancelled
--    3 stored, and the job is to be handed back for a better one
--    0 fenced: the job is another execution's, or was ended by somebody else; nothing was stored
--   -1 send again from the returned number + 1: the server lost events (failover), or half of this resend is there already
local model, news, answers, grown = ARGV[1], {}, {}, {}

local function append(id, exec, first, count, blob, tokens, state, ending)
  local t = redis.call('HMGET', ticket(id), 'exec', 'seq', 'cancel', 'state', 'by', 'preempt', 'tokens', 'reply', 'bytes', 'owner')
  local stored, last = tonumber(t[2] or 0), first + count - 1
  if t[1] ~= exec then return { 0, stored } end
  local answer = t[3] == '1' and 2 or t[6] and 3 or 1
  if last <= stored then
    if t[5] ~= exec then return { 0, stored } end
    return { answer, stored }
  end
  if t[4] ~= 'in_progress' then return { 0, stored } end
  if first ~= stored + 1 then return { -1, stored } end
  local held = t[9] and { 'bytes', t[9] + #blob } or {}
  if tokens > 0 and tonumber(t[7] or 0) == 0 then redis.call('HSET', ticket(id), 'first', now) end
  record(id, first, last, exec, blob, 'tokens', (t[7] or 0) + tokens, unpack(held))
  if t[9] then grown[t[10]] = (grown[t[10]] or 0) + #blob end
  for reply in names(t[8]) do
    news[reply] = news[reply] or {}
    table.insert(news[reply], { id, first, last, exec, blob })
  end
  if state then finish(model, id, exec, state, ending) end
  return { answer, last }
end

for i, execution in ipairs(cmsgpack.unpack(ARGV[2])) do
  local done, answer = pcall(append, unpack(execution))
  answers[i] = (done or type(answer) == 'table') and answer or redis.error_reply('ERR ' .. answer)
end
for owner, bytes in pairs(grown) do count_bytes(owner, bytes) end
for reply, entries in pairs(news) do pcall(tell, reply, entries) end -- a push may be lost; the job's stream is the truth
return answers
