#!lua
-- ARGV: call, id, owner, version that it has, facts, expires
-- Returns the thing's words, or nothing where it is not there or has another version.
local thing, size = find(ARGV[2])
if not thing or thing[OWNER] ~= ARGV[3] or thing[VERSION] ~= tonumber(ARGV[4]) then return {} end
local before = weigh(thing)
thing[FACTS], thing[EXPIRES], thing[VERSION] = ARGV[5], tonumber(ARGV[6]), thing[VERSION] + 1
local packed = cmsgpack.pack(thing)
redis.call('HSET', KEY.archive_things, ARGV[2], packed)
note_expiry(leaf_at(list_of(thing), thing[PLACE]), thing[EXPIRES])
count(thing, 0, weigh(thing) - before, #packed - size)
return answer({ packed })
