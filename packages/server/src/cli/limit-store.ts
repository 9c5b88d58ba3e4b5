// What `mcp-valet doctor` finds where rate limits are counted. Asks Redis for an answer and its policy, and changes nothing there.
import { Redis } from 'ioredis';
import type { Config } from '../config.ts';
import { type Finding, fail, nameOf, ok, warn } from './finding.ts';

const redisWithinMs = 2_000;

export async function limitStore({ rateLimitStore, database: { kind } }: Config): Promise<Finding | undefined> {
  const about = 'Rate limits';
  if (rateLimitStore.kind === 'memory')
    return kind === 'pglite'
      ? ok(about, 'counted in the one process there can be')
      : warn(
          about,
          'counted in each process',
          'With several gateways remove VALET_RATE_LIMIT_STORE, or set REDIS_URL.',
        );
  if (rateLimitStore.redisUrl === undefined) return ok(about, 'counted in PostgreSQL for all gateways');
  const client = new Redis(rateLimitStore.redisUrl.reveal(), {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    connectTimeout: redisWithinMs,
    commandTimeout: redisWithinMs,
    retryStrategy: () => null,
  });
  // A command that fails says only that the connection is closed; why is told here.
  let why: unknown;
  client.on('error', (error) => {
    why = error;
  });
  try {
    await client.connect();
    await client.ping();
    return evicting(await policyOf(client)) ?? ok(about, 'counted in Redis, which answers');
  } catch (error) {
    return fail(
      about,
      `Redis does not answer: ${nameOf(why ?? error)}`,
      'Check REDIS_URL, or unset it: PostgreSQL counts then.',
    );
  } finally {
    client.disconnect();
  }
}

/** Undefined where the operator of the Redis does not let it be asked. */
async function policyOf(client: Redis): Promise<string | undefined> {
  try {
    const [, policy] = await client.config('GET', 'maxmemory-policy');
    return policy;
  } catch (error) {
    if (error instanceof Error && error.name === 'ReplyError') return undefined;
    throw error;
  }
}

function evicting(policy: string | undefined): Finding | undefined {
  if (policy === undefined || policy === 'noeviction') return undefined;
  return warn(
    'Rate limits',
    `counted in Redis, which forgets windows when its memory is full (maxmemory-policy ${policy})`,
    'Set maxmemory-policy noeviction: a forgotten window lets a blocked user through.',
  );
}
