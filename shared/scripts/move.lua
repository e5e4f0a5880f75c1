#!lua flags=allow-oom
-- LMOVE from the head of one list to the end of another, for when Redis is out of memory and refuses the command itself.
-- ARGV: source, destination
-- Returns the entry, or nil.
return redis.call('LMOVE', ARGV[1], ARGV[2], 'LEFT', 'RIGHT')
