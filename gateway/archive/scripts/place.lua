#!lua flags=no-writes
-- ARGV: nothing, id, owner, kind
-- Returns the place of a thing that is there, has expired, or went lately; nothing where there is none.
local id, owner, kind = ARGV[2], ARGV[3], ARGV[4]
local thing = find(id)
if thing and thing[OWNER] == owner and thing[KIND] == kind then return thing[PLACE] end
local sign = mark(kind, id)
return tonumber(redis.call('HGET', KEY.archive_gone .. owner, sign) or redis.call('HGET', KEY.archive_gone_before .. owner, sign))
