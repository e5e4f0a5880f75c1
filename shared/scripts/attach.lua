#!lua flags=allow-oom
-- Compare what a gateway knows of the jobs that it waits for with their tickets; have their further events written to its reply
-- stream, and their clients known as waiting, should that have been lost.
-- ARGV: reply stream, then of each job: id, number of the last event that it has, the execution that wrote it,
--       the visitor that waits there or '', 1 where somebody reads the answer as it comes, else 0
-- Returns the differences, {index from 1, what} each: 0 there is no such job, 1 it has another last event.
local reply = ARGV[1]
local found = {}
for i = 2, #ARGV, 5 do
  local id, seq, by, visitor, parts = unpack(ARGV, i, i + 4)
  local t = redis.call('HMGET', ticket(id), 'state', 'seq', 'by')
  if not t[1] then
    found[#found + 1] = { (i + 3) / 5, 0 }
  else
    if t[2] ~= seq or t[3] ~= by then found[#found + 1] = { (i + 3) / 5, 1 } end
    if t[1] == 'queued' or t[1] == 'in_progress' then admit(id, visitor, reply, true, parts == '1') end
  end
end
return found
