-- Charges all of several limits, or none of them, atomically; the arithmetic of gateway/limit/rate.ts.
-- KEYS: a counter, or a set of places, for each limit.
-- ARGV: now in ms, for rates; how long a place lives, in ms; the name of the places to take; and then for each limit two:
-- burst and interval in ms of a rate, or `places` and how many there are.
-- Answers for each limit two: 1 when it admits and 0 when it does not, and the number that is kept for it now, or the places taken.
local now = tonumber(ARGV[1])
local life = tonumber(ARGV[2])
local time = redis.call('TIME')
-- Places end by one clock for all nodes: a node whose own runs ahead must not end those of others.
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local admits, found, all = {}, {}, true

for at, key in ipairs(KEYS) do
  local burst, interval = tonumber(ARGV[2 + 2 * at]), tonumber(ARGV[3 + 2 * at])
  if ARGV[2 + 2 * at] == 'places' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', clock)
    found[at] = redis.call('ZCARD', key)
    admits[at] = found[at] < interval
  else
    local free = tonumber(redis.call('GET', key)) or 0
    -- Nothing honest lies further ahead than a full burst: a node whose clock runs ahead must not lock the others out.
    local furthest = now + burst * interval
    if free > furthest then
      free = furthest
      redis.call('SET', key, string.format('%.17g', free), 'PX', math.ceil(burst * interval))
    end
    found[at] = free
    admits[at] = math.max(free, now) - now - (burst - 1) * interval <= 0
  end
  all = all and admits[at]
end

local answer = {}
for at, key in ipairs(KEYS) do
  if all and ARGV[2 + 2 * at] == 'places' then
    redis.call('ZADD', key, clock + life, ARGV[3])
    redis.call('PEXPIRE', key, life)
    found[at] = found[at] + 1
  elseif all then
    found[at] = math.max(found[at], now) + tonumber(ARGV[3 + 2 * at])
    redis.call('SET', key, string.format('%.17g', found[at]), 'PX', math.max(1, math.ceil(found[at] - now)))
  end
  answer[2 * at - 1] = admits[at] and 1 or 0
  answer[2 * at] = string.format('%.17g', found[at])
end
return answer
