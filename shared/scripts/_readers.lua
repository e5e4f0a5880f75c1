-- Which of a model's workers have read the beginnings of which prompts. A ticket's *trail* names those of its prompt, the longest first;
-- see shared/trail.py. It is a hint: a worker may have forgotten what it has read, and a mark may stand for nothing.
local MOST_MARKS = 64 -- that are looked at of a trail: another version may have it longer
local MOST_READ = 4096 -- beginnings that are remembered of a model, and as many that came before these
local MOST_READERS = 3 -- workers that are remembered of each, the last ones
local READ_LASTS = 3600 -- seconds

local function marks_of(trail)
  local marks = {}
  for mark in string.gmatch(trail or '', '%S+') do
    marks[#marks + 1] = mark
    if #marks == MOST_MARKS then break end
  end
  return marks
end

-- Of each mark the names of those who have read it, the last one first, a line each; false where nobody is known.
local function readers_of(model, marks)
  local found, before = redis.call('HMGET', KEY.readers .. model, unpack(marks)), false
  for i = 1, #marks do
    if not found[i] then
      before = before or redis.call('HMGET', KEY.read_before .. model, unpack(marks))
      found[i] = before[i]
    end
  end
  return found
end

-- Who of those who are ready has read the most of a prompt: `worker` where it has read as much as anybody; nil where nobody has.
local function first_ready(model, worker, readers)
  for _, names in ipairs(readers) do
    local other
    for name in string.gmatch(names or '', '[^\n]+') do
      if name == worker then return worker end
      if not other and redis.call('HEXISTS', KEY.slots .. model, name) == 1 then other = name end
    end
    if other then return other end
  end
end

local function reader(model, worker, trail)
  local marks = marks_of(trail)
  return #marks > 0 and first_ready(model, worker, readers_of(model, marks)) or nil
end

-- A worker is about to read a prompt. Returns its `reader` until now.
local function note_reader(model, worker, trail)
  local marks, fields, readers = marks_of(trail), {}, KEY.readers .. model
  if #marks == 0 then return end
  local before = readers_of(model, marks)
  for i, names in ipairs(before) do
    local all, count = worker, 1
    for name in string.gmatch(names or '', '[^\n]+') do
      if name ~= worker and count < MOST_READERS then
        all, count = all .. '\n' .. name, count + 1
      end
    end
    fields[2 * i - 1], fields[2 * i] = marks[i], all
  end
  redis.call('HSET', readers, unpack(fields))
  redis.call('EXPIRE', readers, READ_LASTS)
  if redis.call('HLEN', readers) >= MOST_READ then redis.call('RENAME', readers, KEY.read_before .. model) end
  return first_ready(model, worker, before)
end
