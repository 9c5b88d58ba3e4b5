// The sliding window in Redis or Valkey: one script per attempt, by the server's clock. Keys go by themselves when their window has run out.
// What to do when it does not answer is not decided here: every error and every silence is the caller's.
import { Redis } from 'ioredis';
import type { WindowStore } from './shared-windows.ts';
import type { WindowState } from './window.ts';

// A window is a hash: `w` its length, `n` its newest slot, and for each slot that counts something its number and its count.
// The arithmetic is that of `window`: 61 slots, the partial oldest counts in full.
const script = `
local op, ms, most, n = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at = tonumber(ARGV[5])
if not at then
  local time = redis.call('TIME')
  at = time[1] * 1000 + time[2] / 1000
end
local slot = math.floor(at * 60 / ms)
local name = function(number) return string.format('%.0f', number) end
local raw = redis.call('HGETALL', KEYS[1])
local counts, length, newest = {}, nil, slot
for i = 1, #raw, 2 do
  if raw[i] == 'w' then length = tonumber(raw[i + 1])
  elseif raw[i] == 'n' then newest = math.max(newest, tonumber(raw[i + 1]))
  else counts[tonumber(raw[i])] = tonumber(raw[i + 1]) end
end
if length and length ~= ms then
  if op ~= 'take' then return {0, 0} end
  redis.call('DEL', KEYS[1])
  counts, newest = {}, slot
end
local total, dead = 0, {}
for number, count in pairs(counts) do
  if number > newest - 61 then total = total + count else dead[#dead + 1] = name(number) end
end
local ttl = function(limit)
  local kept = total
  for number = newest - 60, newest do
    kept = kept - (counts[number] or 0)
    if kept < limit then return math.max(1, math.ceil((number + 61) * ms / 60 - at)) end
  end
  return math.ceil(ms / 60 * 61)
end
if op == 'peek' then
  if total == 0 then return {0, 0} end
  return {total, ttl(math.min(most, total))}
end
if op == 'back' then
  for number = math.max(math.floor((at - n) * 60 / ms), newest - 60), newest do
    if (counts[number] or 0) > 0 then
      redis.call('HINCRBY', KEYS[1], name(number), -1)
      return {total - 1, 0}
    end
  end
  return {total, 0}
end
local fits = total + n < most
local added = fits and n + 1 or n
if added > 0 then
  total = total + added
  counts[newest] = (counts[newest] or 0) + added
  if #dead > 0 then redis.call('HDEL', KEYS[1], unpack(dead)) end
  redis.call('HSET', KEYS[1], 'w', ms, 'n', name(newest), name(newest), counts[newest])
  redis.call('PEXPIRE', KEYS[1], math.ceil((newest + 61) * ms / 60 - at) + 1000)
end
if fits then return {total, ttl(total)} end
return {most + 1, ttl(most)}
`;

/** What `defineCommand` adds to the client. */
interface Scripted {
  valetWindow(
    key: string,
    op: 'take' | 'peek' | 'back',
    windowMs: number,
    max: number,
    n: number,
    at: string,
  ): Promise<[number, number]>;
}

export interface RedisWindows extends WindowStore {
  /** Waits until the first attempt to connect is over, or so long: who asks before is told that nothing answers. */
  connected(withinMs: number): Promise<void>;
  close(): Promise<void>;
}

/** `prefix` tells installations on one Redis apart. `clock` stands in for the server's, in tests. */
export function redisWindows(
  url: string,
  prefix: string,
  clock: () => number | undefined = () => undefined,
): RedisWindows {
  const redis = new Redis(url, {
    keyPrefix: prefix,
    connectionName: 'mcp-valet',
    connectTimeout: 3_000,
    // A command without a connection fails at once, and none is sent twice: it may have counted.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // A connection that has fallen silent is replaced; the server may have lost it.
    socketTimeout: 5_000,
    retryStrategy: () => 200,
  });
  // Who asks is told by the command's own error; without a listener the library prints.
  redis.on('error', () => undefined);
  redis.defineCommand('valetWindow', { numberOfKeys: 1, lua: script });
  const scripted = redis as unknown as Scripted;
  const at = (): string => String(clock() ?? '');
  const state = ([current, ttl]: [number, number]): WindowState => ({ current, ttl });
  return {
    name: 'redis',
    take: async (key, windowMs, max, extra) =>
      state(await scripted.valetWindow(key, 'take', windowMs, max, extra, at())),
    peek: async (key, windowMs, max) => state(await scripted.valetWindow(key, 'peek', windowMs, max, 0, at())),
    giveBack: async (key, windowMs, ageMs) => void (await scripted.valetWindow(key, 'back', windowMs, 0, ageMs, at())),
    async connected(withinMs) {
      if (redis.status === 'ready') return;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        redis.once('ready', resolve).once('close', resolve);
        timer = setTimeout(resolve, withinMs);
      });
      clearTimeout(timer);
    },
    async close() {
      redis.disconnect();
    },
  };
}
