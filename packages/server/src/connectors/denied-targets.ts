// Where no upstream may be, although the network would allow it: beside the gateway, and the operator's own.
import type { Config } from '../config.ts';

/** A loopback address of the gateway itself, its database or its Redis may not be an upstream, whatever the operator lists. */
export function deniedTargets(config: Config): { host: string; port: number }[] {
  const { database, rateLimitStore } = config;
  const at = (text: string, port: number) => {
    const url = new URL(text);
    return { host: url.hostname, port: Number(url.port || port) };
  };
  return [
    ...(database.kind === 'postgres' ? [at(database.url.reveal(), 5432)] : []),
    ...(rateLimitStore.redisUrl === undefined ? [] : [at(rateLimitStore.redisUrl.reveal(), 6379)]),
  ];
}
