#!lua flags=no-writes
-- A page of the jobs that run or wait: of each model first those that run, by their ids, then those that wait, by tier, owner and arrival.
-- ARGV: an owner whose jobs alone are listed, or '*' for those of all; most jobs of the page; the last one of the page before, or ''
--       for the first page; models, in their order
-- Returns {1 where there are more else 0, then each job and its place in the queue in turn, 0 where that is not told}; {-1} where the
--         last one is none of these. One that has begun or ended since stands among those that run: what waits is then told again.
local of, most, after = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local POSITIONS_TOLD = 50 -- owners who wait: where there are more, places take too long to be found
local page, last = { 0 }, nil

if after ~= '' then
  local t = redis.call('HMGET', ticket(after), 'model', 'state', 'place', 'owner')
  for i = 4, #ARGV do
    if ARGV[i] == t[1] and (of == ALL or t[4] == of) then last = { at = i, place = t[2] == 'queued' and t[3] } end
  end
  if not last then return { -1 } end
end

local function full() return page[1] == 1 end

local function add(id, position)
  if #page > 2 * most then
    page[1] = 1
  elseif not full() then
    page[#page + 1] = id
    page[#page + 1] = position
  end
end

local function add_running(model, beyond)
  local ids = redis.call('ZRANGE', KEY.leases .. model, 0, -1)
  table.sort(ids)
  for _, id in ipairs(ids) do
    if id > beyond and (of == ALL or redis.call('HGET', ticket(id), 'owner') == of) then add(id, 0) end
  end
end

local function add_waiting(model, beyond)
  local owners = 0
  for _, rank in pairs(RANKS) do owners = owners + redis.call('ZCARD', turns(model, rank)) end
  local first = beyond and read(beyond) or 1
  for rank = first, #AGEING do
    local from, to = '[' .. rank .. ':', '(' .. rank .. ';'
    if of ~= ALL then from, to = '[' .. rank .. ':' .. of .. ':', '(' .. rank .. ':' .. of .. ';' end
    if beyond and rank == first then from = '(' .. beyond end
    for _, place in ipairs(redis.call('ZRANGEBYLEX', waiting(model), from, to, 'LIMIT', 0, most + 1)) do
      local _, _, id = read(place)
      add(id, owners <= POSITIONS_TOLD and not full() and ahead(model, place) + 1 or 0)
    end
  end
end

for i = last and last.at or 4, #ARGV do
  local here = last and last.at == i
  if not (here and last.place) then add_running(ARGV[i], here and after or '') end
  if not full() then add_waiting(ARGV[i], here and last.place) end
end
return page
