"""The bare work inside the server, without a client: what an engine's speed is held against.

Written as one would who has the server to himself: no lease, no checkpoint, no stage, no books by workspace.
"""

import time
from dataclasses import dataclass
from typing import Any

import redis

from benchmarks.ground import Ground

_COUNT = 1000
_STEPS = 50

# Microseconds since 1970, which both scripts need.
_SCORE = """
local days_of = {}
local function score_of(text)
  local date = string.sub(text, 1, 10)
  local days = days_of[date]
  if not days then
    local y, m, d = string.match(date, '^(%d%d%d%d)%-(%d%d)%-(%d%d)$')
    y, m, d = tonumber(y), tonumber(m), tonumber(d)
    if m <= 2 then y, m = y - 1, m + 12 end
    days = 365 * y + math.floor(y / 4) - math.floor(y / 100) + math.floor(y / 400)
      + math.floor((153 * (m - 3) + 2) / 5) + d - 1 - 719468
    days_of[date] = days
  end
  local h, mi, s, fraction = string.match(text, '^T(%d%d):(%d%d):(%d%d)%.?(%d*)', 11)
  local score = (days * 86400 + h * 3600 + mi * 60 + s) * 1000000
  if fraction ~= '' then score = score + tonumber(fraction) end
  return string.format('%.0f', score)
end
"""

# ARGV of all: cursor, steps, COUNT. Returns: cursor, keys, found fine
_COPY = (
    _SCORE
    + """
local call, cursor, keys, fine = redis.call, ARGV[1], 0, 0
for _ = 1, tonumber(ARGV[2]) do
  local step = call('SCAN', cursor, 'MATCH', 'ai:jobs:*', 'COUNT', ARGV[3])
  cursor = step[1]
  for _, key in ipairs(step[2]) do
    keys = keys + 1
    local id = string.sub(key, 9)
    local head = call('HMGET', key, 'workspace_id', 'job_id', 'enqueued_at', 'status')
    local workspace = head[1]
    if workspace and string.find(workspace, '^%w[%w_-]*$') and (not head[2] or head[2] == id) then
      if call('COPY', key, 'ai:job:' .. workspace .. ':' .. id) == 1 then
        call('ZADD', 'ai:index:' .. workspace, score_of(head[3]), id)
        fine = fine + 1
      end
    else
      call('HSET', 'bare:invalid', id, 'invalid')
    end
  end
  if cursor == '0' then break end
end
return {cursor, keys, fine}
"""
)

_COMPARE = (
    _SCORE
    + """
local call, cursor, keys, fine = redis.call, ARGV[1], 0, 0
local function by_field(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end
local function same(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then
      local map = by_field(a)
      for j = 1, #b, 2 do
        if map[b[j]] ~= b[j + 1] then return false end
      end
      return true
    end
  end
  return true
end
for _ = 1, tonumber(ARGV[2]) do
  local step = call('SCAN', cursor, 'MATCH', 'ai:jobs:*', 'COUNT', ARGV[3])
  cursor = step[1]
  for _, key in ipairs(step[2]) do
    keys = keys + 1
    local id, job, workspace, at = string.sub(key, 9), call('HGETALL', key), nil, nil
    for i = 1, #job, 2 do
      if job[i] == 'workspace_id' then workspace = job[i + 1] elseif job[i] == 'enqueued_at' then at = job[i + 1] end
    end
    if workspace then
      local copy = 'ai:job:' .. workspace .. ':' .. id
      if same(job, call('HGETALL', copy)) and call('PEXPIRETIME', key) == call('PEXPIRETIME', copy)
        and tonumber(call('ZSCORE', 'ai:index:' .. workspace, id) or '') == tonumber(score_of(at)) then
        fine = fine + 1
      end
    end
  end
  if cursor == '0' then break end
end
return {cursor, keys, fine}
"""
)

_COMPARE_BACK = """
local call, cursor, keys, fine = redis.call, ARGV[1], 0, 0
for _ = 1, tonumber(ARGV[2]) do
  local step = call('SCAN', cursor, 'MATCH', 'ai:job:*', 'COUNT', ARGV[3])
  cursor = step[1]
  for _, key in ipairs(step[2]) do
    keys = keys + 1
    local workspace, id = string.match(key, '^ai:job:(%w[%w_-]*):(.+)$')
    local copy = call('HMGET', key, 'workspace_id', 'job_id')
    local job = call('HMGET', 'ai:jobs:' .. id, 'workspace_id', 'job_id')
    if copy[1] == workspace and (not copy[2] or copy[2] == id) and job[1] == workspace then fine = fine + 1 end
  end
  if cursor == '0' then break end
end
return {cursor, keys, fine}
"""


@dataclass(frozen=True)
class Cost:
    """Of so many keys: seconds by the clock, and seconds of the server's core."""

    keys: int
    fine: int
    seconds: float
    server_seconds: float


def copy(ground: Ground) -> Cost:
    """Scan, read, check, copy and index every legacy job."""
    return _walk(ground, _COPY)


def compare(ground: Ground) -> Cost:
    """Compare every job in both directions; keys are legacy jobs."""
    forth, back = _walk(ground, _COMPARE), _walk(ground, _COMPARE_BACK)
    seconds, used = forth.seconds + back.seconds, forth.server_seconds + back.server_seconds
    return Cost(forth.keys, min(forth.fine, back.fine), seconds, used)


def _walk(ground: Ground, text: str) -> Cost:
    # A slice is long, so that round trips do not count.
    script, client = ground.client.register_script(text), redis.Redis(port=ground.port)
    began, used = time.perf_counter(), ground.cpu_seconds()
    cursor, keys, fine = b"0", 0, 0
    while True:
        reply: Any = script(args=[cursor, _STEPS, _COUNT], client=client)
        cursor, keys, fine = reply[0], keys + reply[1], fine + reply[2]
        if cursor == b"0":
            break
    seconds = time.perf_counter() - began
    client.close()
    return Cost(keys, fine, seconds, ground.cpu_seconds() - used)
