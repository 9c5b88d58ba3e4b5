// The credential states of ISO-1 and who each of them is, written from the contract's section 2. Knows nothing of the gateway's code.

import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ServerName, Username, World, WorldAccount } from './world.ts';

/** Who a credential proves to be; `refused` is the status of what proves nobody. */
export type Identity =
  | { kind: 'adm' | 'ent'; account: 'a' | 'b' }
  | { kind: 'std'; account: 'a' | 'b'; user: Username }
  | { kind: 'url'; account: 'a' | 'b'; server: ServerName; acts: boolean; owner: Username }
  | { kind: 'nobody'; refused: 400 | 401 | 403 };

export interface Caller {
  name: string;
  identity: Identity;
  headers: readonly string[];
}

const bearer = (token: string): string[] => ['authorization', `Bearer ${token}`];

/** A token of the right form that was never handed out. */
export function madeUpToken(kind: string): string {
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  const head = `mcpv_${kind}_${[...randomBytes(43)].map((byte) => digits[byte % 62]).join('')}`;
  let [value, sum] = [crc32(head), ''];
  for (let i = 0; i < 6; i++, value = Math.floor(value / 62)) sum = digits[value % 62] + sum;
  return head + sum;
}

const nobody = (name: string, refused: 400 | 401 | 403, headers: readonly string[]): Caller => ({
  name,
  identity: { kind: 'nobody', refused },
  headers,
});

/**
 * Credentials in headers: fit for every route. A server's token is known on management routes and may do nothing there (403); on MCP
 * endpoints it counts in its URL only (401).
 */
export function headerCallers({ a, b }: World, ofServerToken: 401 | 403): Caller[] {
  const key = (name: string, identity: Identity, token: string): Caller => ({ name, identity, headers: bearer(token) });
  const of = (account: WorldAccount): Caller[] => [
    key(`admin of ${account.name}`, { kind: 'adm', account: account.name }, account.admin),
    key(`enterprise of ${account.name}`, { kind: 'ent', account: account.name }, account.enterprise),
    key(`alice of ${account.name}`, { kind: 'std', account: account.name, user: 'alice' }, account.users.alice.key),
    key(`bob of ${account.name}`, { kind: 'std', account: account.name, user: 'bob' }, account.users.bob.key),
  ];
  const good = bearer(a.users.alice.key);
  return [
    ...of(a),
    ...of(b),
    nobody('nothing', 401, []),
    nobody('garbage', 401, bearer('garbage-that-is-no-key')),
    nobody('a malformed token', 401, bearer(`${a.admin.slice(0, -1)}!`)),
    nobody('a made-up admin token', 401, bearer(madeUpToken('adm'))),
    nobody('a made-up standard token', 401, bearer(madeUpToken('std'))),
    nobody('a truncated key', 401, bearer(a.users.alice.key.slice(0, -1))),
    nobody('a key in other letters', 401, bearer(a.users.alice.key.toUpperCase())),
    nobody('a revoked key', 401, bearer(a.dead.revoked)),
    nobody('an expired key', 401, bearer(a.dead.expired)),
    nobody('the key of a disabled user', 403, bearer(a.users.dora.key)),
    nobody('a server token as bearer', ofServerToken, bearer(a.servers.connect.token)),
    nobody('another scheme', 400, [
      'authorization',
      `Basic ${Buffer.from(`x:${a.users.alice.key}`).toString('base64')}`,
    ]),
    nobody('two keys', 400, [...good, ...bearer(b.users.alice.key)]),
    nobody('one key twice', 400, [...good, ...good]),
    nobody('two keys in one header', 401, [
      'authorization',
      `Bearer ${a.users.alice.key}, Bearer ${b.users.alice.key}`,
    ]),
    nobody('a key and an unverifiable user token', 401, [
      ...good,
      'x-alloy-user-token',
      'eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.',
    ]),
    nobody('only a user token', 401, ['x-alloy-user-token', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.']),
    nobody('two user headers', 400, [...good, 'x-alloy-userid', 'alice', 'X-Alloy-UserId', 'bob']),
  ];
}

/** Only the text "Bearer x, Bearer y" is malformed rather than doubled: what a proxy made of two headers proves nobody. */
export const urlIdentity = (account: WorldAccount, server: ServerName): Identity => ({
  kind: 'url',
  account: account.name,
  server,
  acts: server !== 'owned',
  owner: 'carol',
});
