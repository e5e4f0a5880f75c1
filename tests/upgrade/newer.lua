-- Put before everything else of a script by newer.py: what it writes has parts that older releases do not know.
local call = redis.call
local redis = setmetatable({}, { __index = redis })
function redis.call(command, ...)
  local given = { ... }
  if command == 'HSET' then
    given[#given + 1] = 'newer'
    given[#given + 1] = 'made up'
  elseif command == 'PUBLISH' then
    local told = cjson.decode(given[2])
    told.newer = { 'made up' }
    call('PUBLISH', given[1], cjson.encode({ command = 'made-up', newer = 1 }))
    given[2] = cjson.encode(told)
  elseif command == 'XADD' then
    local id = 2
    while given[id] == 'NOMKSTREAM' or given[id] == 'MAXLEN' do
      id = id + (given[id] == 'NOMKSTREAM' and 1 or given[id + 1] == '~' and 3 or 2)
    end
    if string.find(given[1], '^iq:reply:') then call('XADD', given[1], 'NOMKSTREAM', '*', 'newer', 'made up') end
    local entry = {}
    for i = 1, id do entry[i] = given[i] end
    entry[#entry + 1] = 'newer'
    entry[#entry + 1] = 'made up'
    for i = #given - 1, id + 1, -2 do -- its fields in another order
      entry[#entry + 1] = given[i]
      entry[#entry + 1] = given[i + 1]
    end
    given = entry
  end
  return call(command, unpack(given))
end
