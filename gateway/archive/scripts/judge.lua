#!lua flags=no-writes
-- ARGV: nothing, then ids of things
-- Returns id and problem of each that is not where it belongs.
local found = {}
for n = 2, #ARGV do
  local id = ARGV[n]
  local thing = find(id)
  if thing then -- else it went meanwhile
    local list = list_of(thing)
    local leaf = leaf_at(list, thing[PLACE])
    local due = leaf and redis.call('ZSCORE', KEY.archive_due, leaf)
    if not leaf or tonumber(redis.call('ZSCORE', KEY.archive_leaf .. leaf, id) or -1) ~= thing[PLACE] then
      found[#found + 1] = { id, 'is in no list' }
    elseif thing[EXPIRES] > 0 and (not due or tonumber(due) > thing[EXPIRES]) then
      found[#found + 1] = { id, 'would not expire' }
    end
    local whole = thing[PARENT] ~= '' and find(thing[PARENT])
    if thing[PARENT] ~= '' and (not whole or whole[OWNER] ~= thing[OWNER]) then
      found[#found + 1] = { id, 'is a part of ' .. thing[PARENT] .. ', which is not there' }
    end
  end
end
return found
