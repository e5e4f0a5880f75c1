#!lua flags=no-writes
-- ARGV: nothing, the id of a thing
-- Returns how many parts it has.
local count = 0
for _, leaf in ipairs(redis.call('ZRANGE', KEY.archive_parts .. ARGV[2], 0, -1)) do
  count = count + redis.call('ZCARD', KEY.archive_leaf .. leaf)
end
return count
