#!lua flags=no-writes
-- How fast a model's queue moves.
-- ARGV: model, and an owner where only his running jobs are asked for
-- Returns the time; of each tier, the better first: how long its last jobs held slots on average, in microseconds (where none has
--         ended, those of all tiers; 0 where none of these has), how many wait, and how long those that have ended held slots, all
--         together; then of each running job the number of its tier and how long it has held slots. Times are in milliseconds.
local model, owner = unpack(ARGV)
local pace = { now }
for rank, tier in ipairs({ 'priority', 'default', 'flex' }) do
  local c = redis.call('HMGET', KEY.counts .. model, 'held_us:' .. tier, 'held_us', 'busy_ms:' .. tier)
  pace[#pace + 1] = tonumber(c[1] or c[2] or 0)
  pace[#pace + 1] = redis.call('ZLEXCOUNT', waiting(model), '[' .. rank .. ':', '(' .. rank .. ';')
  pace[#pace + 1] = tonumber(c[3] or 0)
end
for _, id in ipairs(redis.call('ZRANGE', KEY.leases .. model, 0, -1)) do
  local t = redis.call('HMGET', ticket(id), 'started', 'owner', 'tier', 'spent')
  if not owner or t[2] == owner then
    pace[#pace + 1] = RANKS[t[3]] or RANKS.default
    pace[#pace + 1] = math.max(0, now - (t[1] or now)) + (t[4] or 0)
  end
end
return pace
