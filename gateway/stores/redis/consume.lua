-- One step of GCRA, atomically; the arithmetic of gateway/limit/rate.ts.
-- KEYS[1]: the counter. ARGV: burst, interval in ms, now in ms.
-- Answers {1, free at} when admitted, {0, milliseconds to wait} when not.
local burst = tonumber(ARGV[1])
local interval = tonumber(ARGV[2])
local now = tonumber(ARGV[3])
local free = tonumber(redis.call('GET', KEYS[1])) or 0
-- Nothing honest lies further ahead than a full burst: a node whose clock runs ahead must not lock the others out.
local furthest = now + burst * interval
if free > furthest then
  free = furthest
  redis.call('SET', KEYS[1], string.format('%.3f', free), 'PX', math.ceil(burst * interval))
end
local start = math.max(free, now)
local wait = start - now - (burst - 1) * interval
if wait > 0 then return { 0, string.format('%.3f', wait) } end
local freed = start + interval
redis.call('SET', KEYS[1], string.format('%.3f', freed), 'PX', math.max(1, math.ceil(freed - now)))
return { 1, string.format('%.3f', freed) }
