-- The keys are described in shared/keys.py. Times are Redis's own, in milliseconds. It may jump: what is judged by a time is never
-- believed for longer than it was meant to be.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function ticket(id) return KEY.job .. id end

local function older() return redis.call('EXISTS', KEY.older) == 1 end
