#!lua flags=allow-oom
-- Somebody lives, and this is his card. Believed for `ttl` milliseconds on Redis's clock, and never for longer, however that jumps.
-- ARGV: kind (gateways, workers or models), name, ttl, the encoded card, lease in milliseconds or ''
-- Returns the lease that is in force on this Redis. A process with another one is not announced: it would take the jobs of others from
--         them, or leave its own lying. Only where nobody else lives does it change.
local kind, name, ttl, card, lease = unpack(ARGV)
local agreed = redis.call('GET', KEY.lease)
if lease ~= '' and agreed ~= lease then
  local others = 0
  for _, group in ipairs({ KEY.live .. 'gateways', KEY.live .. 'workers' }) do
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', group, now, '+inf')) do
      if group ~= KEY.live .. kind or other ~= name then others = others + 1 end
    end
  end
  if agreed and others > 0 then return tonumber(agreed) end
  redis.call('SET', KEY.lease, lease)
end
redis.call('ZADD', KEY.live .. kind, now + ttl, name)
redis.call('SET', KEY.card .. kind .. ':' .. name, card)
if kind == 'workers' then
  local worker = cjson.decode(card)
  if type(worker.card) == 'table' then
    redis.call('HSET', KEY.slots .. worker.model, name, worker.card.slots)
  else
    redis.call('HDEL', KEY.slots .. worker.model, name)
  end
end
return tonumber(redis.call('GET', KEY.lease) or 0)
