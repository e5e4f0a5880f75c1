#!lua flags=no-writes
-- How fast a model's queue moves.
-- ARGV: model, and an owner where only his running jobs are asked for
-- Returns how long its last jobs held a slot on average, in microseconds, 0 when none has ended yet; then of each running job the
--         milliseconds since its start.
local model, owner = unpack(ARGV)
local pace = { tonumber(redis.call('HGET', 'iq:counts:' .. model, 'held_us') or 0) }
for _, id in ipairs(redis.call('ZRANGE', 'iq:leases:' .. model, 0, -1)) do
  local t = redis.call('HMGET', ticket(id), 'started', 'owner')
  if not owner or t[2] == owner then pace[#pace + 1] = math.max(0, now - (t[1] or now)) end
end
return pace
