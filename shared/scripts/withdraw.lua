#!lua flags=allow-oom
-- Somebody says that he lives no longer.
-- ARGV: kind, name
redis.call('ZREM', 'iq:live:' .. ARGV[1], ARGV[2])
redis.call('DEL', 'iq:card:' .. ARGV[1] .. ':' .. ARGV[2])
