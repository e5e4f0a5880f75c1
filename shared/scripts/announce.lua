#!lua flags=allow-oom
-- Somebody lives, and this is his card. Believed for `ttl` milliseconds on Redis's clock, and never for longer, however that jumps.
-- ARGV: kind (gateways, workers or models), name, ttl, the encoded card, lease in milliseconds or ''
-- Returns the lease that is in force on this Redis. A process with another one is not announced: it would take the jobs of others from
--         them, or leave its own lying. Only where nobody else lives does it change.
local kind, name, ttl, card, lease = unpack(ARGV)
local agreed = redis.call('GET', 'iq:lease')
if lease ~= '' and agreed ~= lease then
  local others = 0
  for _, group in ipairs({ 'iq:live:gateways', 'iq:live:workers' }) do
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', group, now, '+inf')) do
      if group ~= 'iq:live:' .. kind or other ~= name then others = others + 1 end
    end
  end
  if agreed and others > 0 then return tonumber(agreed) end
  redis.call('SET', 'iq:lease', lease)
end
redis.call('ZADD', 'iq:live:' .. kind, now + ttl, name)
redis.call('SET', 'iq:card:' .. kind .. ':' .. name, card)
if kind == 'workers' then
  local worker = cjson.decode(card)
  if type(worker.card) == 'table' then
    redis.call('HSET', 'iq:slots:' .. worker.model, name, worker.card.slots)
  else
    redis.call('HDEL', 'iq:slots:' .. worker.model, name)
  end
end
return tonumber(redis.call('GET', 'iq:lease') or 0)
