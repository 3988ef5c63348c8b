-- Says that a node lives, and that it still holds its places; what nobody says any more ends by itself.
-- KEYS: the set of nodes, and then the set of each place. ARGV: the node, how long all of it lives in ms, and the name of each place.
-- Answers how many nodes live.
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local life = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', clock)
redis.call('ZADD', KEYS[1], clock + life, ARGV[1])
redis.call('PEXPIRE', KEYS[1], life)
for at = 2, #KEYS do
  redis.call('ZADD', KEYS[at], clock + life, ARGV[at + 1])
  redis.call('PEXPIRE', KEYS[at], life)
end
return redis.call('ZCARD', KEYS[1])
