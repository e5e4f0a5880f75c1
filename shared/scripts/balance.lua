#!lua flags=no-writes
-- What the jobs of an owner hold, as it is counted and as their tickets say.
-- ARGV: models, all that have jobs
-- Returns of each owner, `*` for all, where the two differ: name and by how many bytes too much is counted, in turn.
local sums, found = add_up(ARGV), {}
local counted = redis.call('HGETALL', KEY.bytes)
for i = 1, #counted, 2 do sums[counted[i]] = (sums[counted[i]] or 0) - counted[i + 1] end
for owner, less in pairs(sums) do
  if less ~= 0 then
    found[#found + 1] = owner
    found[#found + 1] = -less
  end
end
return found
