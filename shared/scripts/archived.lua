#!lua flags=allow-oom
-- Answers are stored, or are not to be: their records end from here on. One that waits or runs is known to have ended before: Redis has
-- lost that. What is computed once more is for nobody, and whoever waits for it is given what is stored, see gateway/reconcile.py.
-- ARGV: ids
-- Returns the ids of those that were removed meanwhile: what is stored of them is to go.
local removed = {}
for _, id in ipairs(ARGV) do
  local t = redis.call('HMGET', ticket(id), 'model', 'ended', 'removed')
  if t[3] then removed[#removed + 1] = id end
  if let_go(id) and t[1] then
    if t[2] then
      retire(id)
    else
      desert(id)
    end
  end
end
return removed
