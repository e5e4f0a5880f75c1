#!lua flags=allow-oom
-- Somebody says that he lives no longer.
-- ARGV: kind, name
if ARGV[1] == 'workers' then
  local read, card = pcall(cjson.decode, redis.call('GET', 'iq:card:workers:' .. ARGV[2]) or '')
  if read and type(card.model) == 'string' then redis.call('HDEL', 'iq:slots:' .. card.model, ARGV[2]) end
end
redis.call('ZREM', 'iq:live:' .. ARGV[1], ARGV[2])
redis.call('DEL', 'iq:card:' .. ARGV[1] .. ':' .. ARGV[2])
