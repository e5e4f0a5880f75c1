#!lua flags=allow-oom
-- An answer is stored, or is not to be: its record ends from here on. One that waits or runs is known to have ended before: Redis has lost
-- that. What would be computed once more is for nobody, and whoever waits for it is given what is stored, see gateway/reconcile.py.
-- ARGV: id, 1 where nothing is stored of it, should it have been removed, else 0, and 1 where its place was given in this Redis's own index, else 0
-- Returns 1, and changes nothing, where it was removed meanwhile: what is stored of it is to go before; else 0. Nothing is changed either where
-- it has no place there any more: Redis has lost that since, and it is stored again.
local id, dropped, indexed = unpack(ARGV)
local t = redis.call('HMGET', ticket(id), 'model', 'ended', 'removed')
if t[3] and dropped ~= '1' then return 1 end
if indexed == '1' and redis.call('HEXISTS', KEY.archive_things, id) == 0 then return 0 end
if let_go(id) and t[1] then
  if t[2] then
    retire(id)
  else
    desert(id)
  end
end
return 0
