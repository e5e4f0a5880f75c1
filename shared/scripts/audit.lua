#!lua flags=no-writes
-- What does not balance about jobs of one model; each job is seen at one moment.
-- ARGV: model, then ids: all that have a ticket of this model, a stream, or a place in one of the model's indexes
-- Returns the findings, {id, problem} each.
local LONGEST_UNARCHIVED = 600 -- seconds that an answer waits to be stored where nothing is wrong
local model = ARGV[1]
local queue = KEY.rq_queue .. model
local found = {}
local l = redis.call('HMGET', KEY.lapse, 'tidy', 'former')
local settled = not (l[1] or l[2]) -- else an earlier version has left what is not cleared yet
for i = 2, #ARGV do
  local id = ARGV[i]
  local function wrong(...) found[#found + 1] = { id, string.format(...) } end
  local t = redis.call('HMGET', ticket(id), 'state', 'model', 'exec', 'seq', 'place', 'owner', 'head', 'ended',
    'removed')
  local known = t[2] == model
  local state = known and t[1] or 'without a ticket'
  local waits, runs = state == 'queued', state == 'in_progress'

  local places = {
    { 'queue', t[5] and redis.call('ZSCORE', waiting(model), t[5]) and 1 or 0, waits },
    { 'deadlines', redis.call('ZSCORE', KEY.deadlines .. model, id) and 1 or 0, waits },
    { 'leases', redis.call('ZSCORE', KEY.leases .. model, id) and 1 or 0, runs },
    { 'work in progress', redis.call('ZLEXCOUNT', KEY.rq_wip .. model, '[' .. id .. ':', '(' .. id .. ';'), runs },
  }
  for _, place in ipairs(places) do
    local name, times, due = unpack(place)
    if times ~= (due and 1 or 0) then wrong('%s, and %d times in the %s', state, times, name) end
  end
  if runs and not redis.call('ZSCORE', KEY.rq_wip .. model, id .. ':' .. t[3]) then
    wrong('%s, but not its execution', state)
  end
  if not (waits or runs) and redis.call('ZSCORE', KEY.lingering .. model, id) then wrong('%s, and lingers', state) end

  local last = redis.call('XREVRANGE', KEY.events .. id, '+', '-', 'COUNT', 1)[1]
  local task = redis.call('EXISTS', KEY.task .. id) == 1
  local first = redis.call('XRANGE', KEY.events .. id, '0-1', '0-1')[1]
  local headed = first and first[2][6] == t[7] -- else an earlier version has put the whole there
  if known and not task and (not last or (waits or runs) and headed) then wrong('%s, and nothing tells what to compute', state) end
  if settled and task and not (waits or runs) then wrong('%s, and its task is there', state) end
  local retained = redis.call('ZSCORE', KEY.retained, id)
  if settled and retained and (waits or runs) then wrong('%s, and is to make room', state) end
  if last and not t[1] then wrong('has a stream without a ticket') end
  if known and last and last[1] ~= (t[4] == '0' and '0-1' or t[4] .. '-0') then
    wrong('its ticket knows %s events, its stream ends with %s', t[4], last[1])
  end
  local hash = redis.call('EXISTS', KEY.rq_job .. id) == 1
  if hash ~= (waits or runs) then wrong('%s, and rq:job:%s is %s', state, id, hash and 'there' or 'missing') end
  for reply in replies(id) do
    local listed = redis.call('SISMEMBER', reply .. ':jobs', id) == 1
    if listed ~= (waits or runs) then wrong('%s, and %s of %s', state, listed and 'one' or 'not one', reply .. ':jobs') end
  end
  local owner = t[6] or ''
  local owned = redis.call('SISMEMBER', KEY.owned .. owner, id) == 1
  if settled and known and owned ~= ((waits or runs) and owner ~= '') then wrong('%s, and %s of its owner', state, owned and 'one' or 'not one') end
  local unarchived, given = redis.call('ZSCORE', KEY.unarchived, id), redis.call('EXISTS', KEY.given .. id) == 1
  if given ~= (unarchived and not t[9] or false) then
    wrong('%s, %s, and what it was given is %s', state, unarchived and 'to be stored' or 'not to be stored', given and 'there' or 'missing')
  end
  if settled and unarchived and (unarchived ~= '0') ~= (t[8] ~= false) then wrong('%s, and to be stored from %s on', state, unarchived) end
  if unarchived and retained then wrong('%s, and is to make room before it is stored', state) end
  if unarchived and t[8] and now - t[8] > LONGEST_UNARCHIVED * 1000 then
    wrong('%s, and has waited for %d s to be stored', state, (now - t[8]) / 1000)
  end
  for _, key in ipairs({ ticket(id), KEY.events .. id }) do
    local ttl = redis.call('TTL', key)
    if settled and unarchived and ttl >= 0 then wrong('%s, and %s ends in %d s before it is stored', state, key, ttl) end
    if (waits or runs) and ttl >= 0 then wrong('%s, and %s ends in %d s', state, key, ttl) end
    if not (waits or runs or unarchived) and ttl == -1 then wrong('%s, and %s never ends', state, key) end
  end
end
return found
