#!lua name=redaction_gateway_v2
-- The only writer. One call of `rgw_v2_commit` moves one call's state, appends the entry of that step to the
-- bucket's trail under the next number, and keeps the work queue in line: all of it or nothing.
--
-- keys  1 call (hash)  2 its entries' numbers (list)  3 trail (stream)  4 sequence (string)
--       5 due (sorted set)   all with the bucket's tag
-- args  1 operation id  2 expected revision  3 expected chain head  4 new revision  5 new state
--       6 entry ('' = this step has none)  7 link  8 due at, ms ('' = not due)  9 keep for, ms ('' = keep)
--       10 mark of the word that is told of it ('!' = somebody is let go)
-- gives {'done'|'again', ms, seq, link} or {'stale', ms, revision, head, seq, state}

local REMEMBERED = 16 -- operation ids a call remembers: a try again comes within seconds

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function find(ops, op)
  for known, seq, link in string.gmatch(ops, '([^ ;]+) (%d+) (%x+);') do
    if known == op then return tonumber(seq), link end
  end
end

local function remember(ops, op, seq, link)
  local kept = op .. ' ' .. seq .. ' ' .. link .. ';'
  local count = 1
  for known in string.gmatch(ops, '[^;]+;') do
    if count == REMEMBERED then break end
    kept = kept .. known
    count = count + 1
  end
  return kept
end

-- When the entry was written, and under which number; the newest ones alone are looked through.
local function written(trail, link, first, last, most)
  for _, row in ipairs(redis.call('XREVRANGE', trail, last, first, 'COUNT', most)) do
    if row[2][4] == link then return tonumber(row[2][6]), tonumber(string.match(row[1], '%d+')) end
  end
end

local function keep(key, ms)
  if ms == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ms) end
end

local function commit(keys, args)
  local call, index, trail, sequence, due = keys[1], keys[2], keys[3], keys[4], keys[5]
  local have = redis.call('HMGET', call, 'revision', 'head', 'seq', 'state', 'ops')
  local revision, head, ops = have[1] or '0', have[2] or '', have[5] or ''
  local ms = now_ms()
  local seq, link = find(ops, args[1])
  if seq then
    redis.call('HSET', call, 'ops', ops) -- a write, or WAIT after it would have nothing to wait for and say yes
    return {'again', written(trail, link, seq .. '-0', seq .. '-0', 1) or ms, seq, link}
  end
  if revision ~= args[2] or head ~= args[3] then
    return {'stale', ms, revision, head, have[3] or '0', have[4] or ''}
  end
  seq = tonumber(have[3] or '0')
  if args[6] ~= '' then
    seq = redis.call('INCR', sequence)
    redis.call('XADD', trail, seq .. '-0', 'e', args[6], 'h', args[7], 't', ms)
    redis.call('RPUSH', index, seq)
  end
  redis.call('HSET', call, 'revision', args[4], 'head', args[7], 'seq', seq, 'state', args[5],
    'ops', remember(ops, args[1], seq, args[7]))
  if args[8] == '' then redis.call('ZREM', due, call) else redis.call('ZADD', due, args[8], call) end
  redis.call('PUBLISH', trail .. ':changes', (args[10] or '') .. call)
  keep(call, args[9])
  keep(index, args[9])
  return {'done', ms, seq, args[7]}
end

-- keys  1 lease (string)   args  1 owner  2 for, ms
-- gives 1 when the owner has the lease (again), 0 when somebody else has
local function lease(keys, args)
  local owner = redis.call('GET', keys[1])
  if owner and owner ~= args[1] then return 0 end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

-- What is due in one bucket, if the asker has its lease.
local function queue(keys, args, takes, is_full)
  if takes and lease(keys, args) == 0 then return 0 end
  if is_full then return 1 end
  return redis.call('ZRANGE', keys[2], 0, args[3], 'BYSCORE', 'LIMIT', 0, args[4])
end

-- The queues of buckets, one after the other until so much was found. One that cannot be read keeps nobody from the rest.
-- keys  of each bucket: lease (string), due (sorted set)
-- args  1 owner  2 lease for, ms  3 due by, ms  4 at the most of a bucket  5 so many are enough of all
--       6 a letter for each bucket: 't' take its lease first, 'h' the asker has it
-- gives for each bucket its calls, the longest due first; 0: somebody else has it; 1: not looked at; an error: unreadable
local function queues(keys, args)
  local found, left = {}, tonumber(args[5])
  for place = 1, #keys / 2 do
    local pair = {keys[2 * place - 1], keys[2 * place]}
    local ok, answer = pcall(queue, pair, args, string.sub(args[6], place, place) == 't', left <= 0)
    if not ok and type(answer) ~= 'table' then answer = {err = tostring(answer)} end
    if ok and type(answer) == 'table' then left = left - #answer end
    found[place] = answer
  end
  return found
end

-- Which open redactions mean the same recorder of the same call. A target is a hash of redactions, each with the
-- time of its first claim, how often it claimed and when last ("ms:count:ms"), and under '~' until when a command may land
-- that lets a party be recorded, or when the last one did.
local LOOSE = '~'
local CLAIM_MS = 7 * 24 * 3600 * 1000 -- no call lasts so long: what a crash left behind goes by itself

local function others(target, member)
  local found, loose = {}, '0'
  local fields = redis.call('HGETALL', target)
  for i = 1, #fields, 2 do
    if fields[i] == LOOSE then
      loose = fields[i + 1]
    elseif fields[i] ~= member then
      found[#found + 1] = fields[i]
      found[#found + 1] = fields[i + 1]
    end
  end
  return found, loose
end

-- keys  1 target   args  1 redaction
-- gives {ms, own claim, {redaction, claim, …}, loose until}
local function claim(keys, args)
  local ms = now_ms()
  local since, count = string.match(redis.call('HGET', keys[1], args[1]) or '', '(%d+):(%d+)')
  local own = (since or ms) .. ':' .. ((count or 0) + 1) .. ':' .. ms
  redis.call('HSET', keys[1], args[1], own)
  redis.call('PEXPIRE', keys[1], CLAIM_MS)
  local found, loose = others(keys[1], args[1])
  return {ms, own, found, loose}
end

-- keys  1 target   args  1 redaction  2 lands before, ms  then pairs: a redaction that is over, its claim
-- gives {ms, own claim, {redaction, claim, …}}: when nobody else is left, the loosening is on record
local function loosen(keys, args)
  for i = 3, #args, 2 do
    if redis.call('HGET', keys[1], args[i]) == args[i + 1] then redis.call('HDEL', keys[1], args[i]) end
  end
  local found, loose = others(keys[1], args[1])
  if #found == 0 and tonumber(args[2]) > tonumber(loose) then
    redis.call('HSET', keys[1], LOOSE, args[2])
    redis.call('PEXPIRE', keys[1], CLAIM_MS)
  end
  return {now_ms(), redis.call('HGET', keys[1], args[1]) or '', found}
end

-- keys  1 target   args  1 redaction  2 its claim, when it means the target no more ('' when it still does)
--       3 the lands-before of a command that has landed ('' = nothing has)
local function release(keys, args)
  local target = keys[1]
  -- What was seen before a command has landed proves nothing, also to whoever hears of the target only later.
  if args[3] ~= '' and redis.call('HGET', target, LOOSE) == args[3] then redis.call('HSET', target, LOOSE, now_ms()) end
  -- A claim that was renewed meanwhile is another redaction's by now, though the call is the same.
  local own = redis.call('HGET', target, args[1])
  local over = args[2] ~= '' and own == args[2]
  if over then redis.call('HDEL', target, args[1]) end
  local found, loose = others(target, args[1])
  if #found == 0 and (over or not own) and loose ~= '0' then
    redis.call('PEXPIREAT', target, math.max(tonumber(loose), now_ms()) + 60000)
  end
  return 1
end

-- An operation that a client named: taken once, whoever asks again.
-- keys  1 name (hash)   args  1 fingerprint of the request  2 runs at the most for, ms  3 keep for, ms
--       4 '1': one that was interrupted is taken anew
-- gives 'new', 'running', 'interrupted', 'done', 'failed' or 'other'
local function once(keys, args)
  local have = redis.call('HMGET', keys[1], 'fingerprint', 'until')
  local ms = now_ms()
  if not have[1] then
    redis.call('HSET', keys[1], 'fingerprint', args[1], 'until', ms + args[2])
    redis.call('PEXPIRE', keys[1], args[3])
    return 'new'
  end
  if have[1] ~= args[1] then return 'other' end
  local running_until = tonumber(have[2])
  if not running_until then return have[2] end
  if running_until > ms then return 'running' end
  if args[4] ~= '1' then return 'interrupted' end
  redis.call('HSET', keys[1], 'until', ms + args[2])
  return 'new'
end

-- keys  1 name   args  1 fingerprint  2 'done', 'failed', or 'new' when nothing was done
local function once_over(keys, args)
  if redis.call('HGET', keys[1], 'fingerprint') ~= args[1] then return 0 end
  if args[2] == 'new' then return redis.call('DEL', keys[1]) end
  redis.call('HSET', keys[1], 'until', args[2])
  return 1
end

-- A bucket of tokens, filled by the store's own clock.
-- keys  1 bucket (hash)   args  1 taken out  2 rate a second  3 burst
-- gives what is left, as text
local function take(keys, args)
  local have, ms = redis.call('HMGET', keys[1], 'level', 'at'), now_ms()
  local rate, burst = tonumber(args[2]), tonumber(args[3])
  local level = tonumber(have[1] or args[3]) + math.max(0, ms - tonumber(have[2] or ms)) * rate / 1000
  level = math.max(0, math.min(burst, level) - tonumber(args[1]))
  redis.call('HSET', keys[1], 'level', string.format('%.6f', level), 'at', ms)
  redis.call('PEXPIRE', keys[1], math.ceil(burst / rate * 1000) + 1000)
  return string.format('%.6f', level)
end

-- When keys were last used, and first heard of.
-- keys  1 uses (hash)   args  pairs: kid, last used at ms (0 = it is known, and was not used)
-- gives how many are remembered
local function used(keys, args)
  local ms = now_ms()
  for i = 1, #args, 2 do
    redis.call('HSETNX', keys[1], args[i] .. ':seen', ms)
    local at = tonumber(redis.call('HGET', keys[1], args[i]) or '0')
    if tonumber(args[i + 1]) > at then redis.call('HSET', keys[1], args[i], args[i + 1]) end
  end
  return redis.call('HLEN', keys[1])
end

redis.register_function('rgw_v2_take', take)
redis.register_function('rgw_v2_used', used)
redis.register_function('rgw_v2_once', once)
redis.register_function('rgw_v2_once_over', once_over)
redis.register_function('rgw_v2_claim', claim)
redis.register_function('rgw_v2_loosen', loosen)
redis.register_function('rgw_v2_release', release)
redis.register_function('rgw_v2_commit', commit)
redis.register_function('rgw_v2_lease', lease)
redis.register_function('rgw_v2_queues', queues)

local LOOKED_AT = 256 -- entries of a bucket since the one whose answer was lost

-- An entry that is about no call. Its chain is the bucket's own.
-- keys  1 head (string)  2 trail (stream)  3 sequence (string)   args  1 expected head  2 entry  3 link
-- gives {'done'|'again', ms, seq, link} (seq 0: it was long ago) or {'stale', ms, 0, head}
local function append(keys, args)
  local ms, head = now_ms(), redis.call('GET', keys[1]) or ''
  if head == args[3] then -- the same entry: its answer was lost
    redis.call('SET', keys[1], head)
    local at, seq = written(keys[2], head, '-', '+', LOOKED_AT)
    return {'again', at or ms, seq or 0, head}
  end
  if head ~= args[1] then return {'stale', ms, 0, head} end
  local seq = redis.call('INCR', keys[3])
  redis.call('XADD', keys[2], seq .. '-0', 'e', args[2], 'h', args[3], 't', ms)
  redis.call('SET', keys[1], args[3])
  return {'done', ms, seq, args[3]}
end

-- The next checkpoint, if it follows the newest one.
-- keys  1 newest (hash: n, hash, heads, trimmed)  2 checkpoints (stream)
-- args  1 expected n  2 expected hash  3 n  4 hash  5 line  6 heads of all buckets  7 '1' when it trims
-- gives {'done', n, hash} or {'stale', n, hash}
local function seal(keys, args)
  local have = redis.call('HMGET', keys[1], 'n', 'hash')
  local n, hash = have[1] or '0', have[2] or ''
  if n == args[3] and hash == args[4] then
    redis.call('HSET', keys[1], 'n', n) -- as in commit: something for WAIT to wait for
    return {'done', n, hash}
  end
  if n ~= args[1] or hash ~= args[2] then return {'stale', n, hash} end
  redis.call('XADD', keys[2], args[3] .. '-0', 'c', args[5])
  redis.call('HSET', keys[1], 'n', args[3], 'hash', args[4], 'heads', args[6])
  if args[7] == '1' then redis.call('HSET', keys[1], 'trimmed', args[3]) end
  return {'done', args[3], args[4]}
end

-- keys  1 stream   args  1 the oldest number that stays
local function trim(keys, args)
  return redis.call('XTRIM', keys[1], 'MINID', args[1] .. '-0')
end

redis.register_function('rgw_v2_append', append)
redis.register_function('rgw_v2_seal', seal)
redis.register_function('rgw_v2_trim', trim)
