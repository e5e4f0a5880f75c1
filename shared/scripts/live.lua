#!lua flags=no-writes
-- Who lives.
-- ARGV: kind (gateways, workers or models)
-- Returns name and card of each, in turn.
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEY.live .. ARGV[1], now, '+inf')) do
  local card = redis.call('GET', KEY.card .. ARGV[1] .. ':' .. name)
  if card then
    found[#found + 1] = name
    found[#found + 1] = card
  end
end
return found
