"""What runs in Redis to take, renew and release shared slots; keys and channels of slots."""

CHANNELS = "imagegen:slot-free:"

# Each host has a sorted set of tokens, scored by the time at which their leases end, in ms. Redis'
# own clock counts, since the clocks of the workers differ. Leases that have ended are removed; one
# that ends later than any lease can was written before Redis' clock was set back, or another server
# took over, and is shortened. Beside it there is the line of the workers that wait for a slot of the
# host, in the order in which they came. `wake` takes the first of them that listens out of the line
# and tells it of the slot; it returns 1 if that is the worker which calls, and needs no message.
_FUNCTIONS = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function room(key, slots, longest)
  local latest = now + longest
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. latest, '+inf')) do
    redis.call('ZADD', key, latest, token)
  end
  return slots - redis.call('ZCARD', key)
end
local function hold(key, token, lease)
  redis.call('ZADD', key, now + lease, token)
  redis.call('PEXPIREAT', key, redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2])
end
local function stand_in_line(line, worker, for_ms)
  redis.call('ZADD', line, 'NX', clock[1] * 1000000 + clock[2], worker)
  redis.call('PEXPIRE', line, for_ms)
end
local function wake(line, host, worker, channels)
  while true do
    local first = redis.call('ZRANGE', line, 0, 0)[1]
    if not first then return 0 end
    redis.call('ZREM', line, first)
    if first == worker then return 1 end
    if redis.call('PUBLISH', channels .. first, host) > 0 then return 0 end
  end
end
"""

# KEYS: the host's leases and its line. ARGV: the token, the worker, whether it wants more than this
# slot, whether its prompt is on the host already, the host's slots, the lease, the longest possible
# lease and the time in line in ms. Returns how many slots are left, -1 if there was none. A prompt
# that is there already gets a slot in any case. Who gets none, or the last one and wants more, is in
# the line from then on.
TAKE = (
    _FUNCTIONS
    + """
local left = room(KEYS[1], tonumber(ARGV[5]), ARGV[7]) - 1
if left < 0 then left = ARGV[4] == '1' and 0 or -1 end
if left >= 0 then hold(KEYS[1], ARGV[1], ARGV[6]) end
if left < 0 or (left == 0 and ARGV[3] == '1') then stand_in_line(KEYS[2], ARGV[2], ARGV[8]) end
return left
"""
)

# KEYS: leases. ARGV: the lease and the longest possible lease in ms, then for each key its token and
# how many slots the host has. A token that is still in the set, or for which there is room, gets a
# new end. Returns 1 for each key whose lease is held, else 0.
RENEW = (
    _FUNCTIONS
    + """
local held = {}
for i, key in ipairs(KEYS) do
  local token, slots = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  local left = room(key, slots, ARGV[2])
  held[i] = 0
  if left > 0 or redis.call('ZSCORE', key, token) then
    hold(key, token, ARGV[1])
    held[i] = 1
  end
end
return held
"""
)

# KEYS: the leases and the line of each host. ARGV: the worker, the prefix of the channels, then for
# each host its name and the token, or what all tokens of a dead worker begin with. Returns 1 for each
# host on which the next slot is for the worker that calls, else 0.
RELEASE = (
    _FUNCTIONS
    + """
local woken = {}
for i = 1, #KEYS / 2 do
  local leases, line = KEYS[2 * i - 1], KEYS[2 * i]
  local host, token = ARGV[2 * i + 1], ARGV[2 * i + 2]
  woken[i] = 0
  if token == '' then
    woken[i] = wake(line, host, ARGV[1], ARGV[2])
  end
  for _, each in ipairs(token ~= '' and redis.call('ZRANGE', leases, 0, -1) or {}) do
    if each == token or (token:sub(-1) == ':' and each:sub(1, #token) == token) then
      redis.call('ZREM', leases, each)
      woken[i] = woken[i] + wake(line, host, ARGV[1], ARGV[2])
    end
  end
end
return woken
"""
)

# KEYS: the leases and the line of each host. ARGV: the worker, the longest possible lease and the
# time in line in ms, then the slots of each host. Returns how many slots each host has left; where
# there is none the worker is in the line from then on.
LOOK = (
    _FUNCTIONS
    + """
local left = {}
for i = 1, #KEYS / 2 do
  left[i] = room(KEYS[2 * i - 1], tonumber(ARGV[3 + i]), ARGV[2])
  if left[i] <= 0 then stand_in_line(KEYS[2 * i], ARGV[1], ARGV[3]) end
end
return left
"""
)


def slot_key(host: str) -> str:
    """Return the Redis key of the sorted set of a host's leases."""
    return f"imagegen:slots:{host}"


def line_key(host: str) -> str:
    """Return the Redis key of the line of workers that wait for a slot of a host."""
    return f"imagegen:slot-line:{host}"


def room_channel(worker: str) -> str:
    """Return the pub/sub channel on which a worker is told of hosts that have a slot for it."""
    return f"{CHANNELS}{worker}"
