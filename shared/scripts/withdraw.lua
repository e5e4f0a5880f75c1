#!lua flags=allow-oom
-- Somebody says that he lives no longer.
-- Of a gateway the next lapse.lua sees to the jobs of its clients.
-- ARGV: kind, name
if ARGV[1] == 'gateways' then return redis.call('ZADD', KEY.live .. ARGV[1], 'XX', 0, ARGV[2]) end
if ARGV[1] == 'workers' then
  local read, card = pcall(cjson.decode, redis.call('GET', KEY.card .. 'workers:' .. ARGV[2]) or '')
  if read and type(card.model) == 'string' then redis.call('HDEL', KEY.slots .. card.model, ARGV[2]) end
end
redis.call('ZREM', KEY.live .. ARGV[1], ARGV[2])
redis.call('DEL', KEY.card .. ARGV[1] .. ':' .. ARGV[2])
