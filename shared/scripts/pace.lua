#!lua flags=no-writes
-- How fast a model's queue moves.
-- ARGV: model
-- Returns how long its last jobs held a slot on average, in microseconds, 0 when none has ended yet; then of each running job the
--         milliseconds since its start.
local model = ARGV[1]
local pace = { tonumber(redis.call('HGET', 'iq:counts:' .. model, 'held_us') or 0) }
for _, id in ipairs(redis.call('ZRANGE', 'iq:leases:' .. model, 0, -1)) do
  pace[#pace + 1] = math.max(0, now - (redis.call('HGET', ticket(id), 'started') or now))
end
return pace
