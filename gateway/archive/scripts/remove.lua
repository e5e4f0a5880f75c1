#!lua flags=allow-oom
-- ARGV: call, id, owner, kind
-- Returns id and words of all that went, its parts first; nothing where it is not there.
local thing = find(ARGV[2])
if not thing or thing[OWNER] ~= ARGV[3] or thing[KIND] ~= ARGV[4] then return {} end
local gone = {}
remove(ARGV[2], thing, gone)
return answer(gone)
