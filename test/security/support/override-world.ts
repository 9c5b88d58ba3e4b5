// The gateway that the override model is asked about, and requests as it means them: credentials of every kind, users of two accounts, user
// tokens of two issuers, names of every sort. Generates from a seed; expects nothing.
import { type Rig, startRig } from '../../support/gateway.ts';
import { startIssuer } from '../../support/issuer.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../../support/recording-upstream.ts';
import { madeUpToken } from './callers.ts';
import type { AccountName, Case, Credential, ModelServer, ModelUser, ModelWorld, UserToken } from './override-rules.ts';
import { noLimits } from './world.ts';

/** A credential as it is sent, and as the model knows it. */
export interface Held {
  name: string;
  text: string;
  means: Credential;
}
export interface OverrideWorld {
  rig: Rig;
  model: ModelWorld;
  accountIds: Record<AccountName, string>;
  serverIds: Record<string, string>;
  held: Held[];
  userTokens: { text: string; means: UserToken }[];
  close(): Promise<void>;
}

const usernames = { home: ['default', 'alice', 'Alice', 'bob', 'carol', 'off'], other: ['default', 'alice', 'eve'] };

export async function buildOverrideWorld(): Promise<OverrideWorld> {
  const rig = await startRig({ env: { ...noLimits, VALET_TRUST_PROXY: '127.0.0.1' } });
  const upstream: RecordingUpstream = await startRecordingUpstream({});
  const idp = await startIssuer();
  const foreignIdp = await startIssuer();
  const otherAccount = await rig.manage('POST', '/api/accounts', { name: 'other' });
  const admins = { home: rig.admin, other: otherAccount.apiKey as string };
  const { account } = await rig.manage('GET', '/api/me');
  const accountIds = { home: account.accountId as string, other: otherAccount.accountId as string };
  const users: Record<AccountName, ModelUser[]> = { home: [], other: [] };
  const held: Held[] = [];
  const serverIds: Record<string, string> = { missing: 'nowhere-00000000' };
  const servers: Record<string, ModelServer> = {};
  const hold = (name: string, text: string, means: Credential) => void held.push({ name, text, means });
  const of = (in_: AccountName) => (method: string, path: string, body?: unknown) =>
    rig.manage(method, path, body, admins[in_]);

  for (const in_ of ['home', 'other'] as const) {
    await of(in_)('POST', '/api/connectors', { connectorId: 'demo', kind: 'mcp-http', url: upstream.url });
    for (const username of usernames[in_]) {
      const user =
        username === 'default' ? await of(in_)('GET', '/users/default') : await of(in_)('POST', '/users', { username });
      users[in_].push({ id: user.user_id, username, enabled: username !== 'off' });
    }
  }
  const key = async (in_: AccountName, user: string, body: object = {}) =>
    (await of(in_)('POST', `/users/${user}/keys`, { key_name: `k${held.length}`, ...body })).api_key as string;
  const enterprise = { kind: 'enterprise' };
  const keyOf = (
    kind: 'adm' | 'ent' | 'std' | 'usr',
    user: string | null,
    more = {},
    in_: AccountName = 'home',
  ): Credential => ({
    is: 'key',
    kind,
    account: in_,
    user,
    ...more,
  });
  hold('admin', rig.admin, keyOf('adm', null));
  hold('enterprise', await key('home', 'default', enterprise), keyOf('ent', 'default'));
  hold("bob's enterprise", await key('home', 'bob', enterprise), keyOf('ent', 'bob'));
  const list = { ...enterprise, allowed_users: ['alice', 'bob'] };
  hold(
    'enterprise for two',
    await key('home', 'default', list),
    keyOf('ent', 'default', { mayName: ['alice', 'bob'] }),
  );
  const withDefault = { ...enterprise, allowed_users: ['default', 'carol', 'off'] };
  hold(
    'enterprise for three',
    await key('home', 'default', withDefault),
    keyOf('ent', 'default', { mayName: ['default', 'carol', 'off'] }),
  );
  for (const user of ['alice', 'bob', 'Alice']) hold(`${user}'s`, await key('home', user, {}), keyOf('std', user));
  hold("eve's", await key('other', 'eve'), keyOf('std', 'eve', {}, 'other'));
  hold(
    'enterprise of the other account',
    await key('other', 'default', enterprise),
    keyOf('ent', 'default', {}, 'other'),
  );
  hold("a disabled user's", await key('home', 'off'), { is: 'disabled-owner' });
  const dead = await of('home')('POST', '/users/alice/keys', { key_name: 'dead' });
  await of('home')('POST', '/keys/revoke', { key_id: dead.key_id });
  hold('revoked', dead.api_key, { is: 'dead' });
  hold('made up', madeUpToken('ent'), { is: 'dead' });
  hold('garbage', 'garbage-that-is-no-key', { is: 'dead' });

  const publish = async (
    name: string,
    in_: AccountName,
    body: object,
    means: Partial<ModelServer>,
    url: object = {},
  ) => {
    const made = await of(in_)('POST', '/api/servers', { name, ...body });
    serverIds[name] = made.serverId;
    servers[name] = { account: in_, onUnknown: 'reject', users: null, ...means };
    const token: Credential = { is: 'key', kind: 'url', account: in_, server: name, acts: true, owner: null, ...url };
    hold(`the token of ${name}`, made.accessToken, token);
    return made.serverId as string;
  };
  await publish('strict', 'home', {}, {});
  await publish('falls', 'home', { onUnknownUser: 'fallback' }, { onUnknown: 'fallback' });
  const users_ = { mode: 'allowlist', allowedIds: ['alice', 'default'] };
  await publish('narrow', 'home', { restrictions: { users: users_ } }, { users: ['alice', 'default'] });
  for (const [name, owner] of [
    ['of-alice', 'alice'],
    ['of-off', 'off'],
  ] as const) {
    const id = await publish(
      name,
      'home',
      { onUnknownUser: 'fallback' },
      { onUnknown: 'fallback' },
      { acts: false, owner },
    );
    // No public way makes such a server: one whose token acts for its owner only.
    const ownerId = users.home.find(({ username }) => username === owner)?.id;
    await rig.sql(
      accountIds.home,
      'update servers set acts_for_users = false, owner_user_id = $3 where account_id = $1 and id = $2',
      [accountIds.home, id, ownerId],
    );
  }
  await publish('theirs', 'other', {}, {});

  const delegated = async (userId: string, more: object = {}) =>
    (await of('home')('POST', '/api/tokens', { userId, ttlSeconds: 3600, ...more })).token as string;
  hold('delegated by alice', await delegated('alice'), keyOf('usr', 'alice'));
  const only = { servers: ['falls'] };
  hold(
    'delegated for one server',
    await delegated('bob', { servers: [serverIds['falls']] }),
    keyOf('usr', 'bob', only),
  );
  hold('delegated by a disabled user', await delegated('off'), { is: 'disabled-owner' });
  await of('home')('PATCH', '/users/off/enable', { enabled: false });

  const trust = async (in_: AccountName, to: typeof idp, subjects: string[]) => {
    const body = { type: 'jwt', name: 'idp', issuer: to.issuer, audience: [to.audience], jwksUri: to.jwksUri };
    const { issuerId } = await of(in_)('POST', '/api/issuers', body);
    for (const user of subjects)
      await of(in_)('POST', '/api/identities', { issuerId, subject: `sub-${user}`, userId: user });
  };
  await trust('home', idp, ['alice', 'bob', 'off']);
  await trust('other', foreignIdp, ['eve']);
  const late = { iat: 1_000_000_000, exp: 1_000_000_300 };
  const lasting = { claims: { exp: Math.floor(Date.now() / 1000) + 900 } };
  const userTokens: OverrideWorld['userTokens'] = [
    ...['alice', 'bob', 'off'].map((user) => ({
      text: idp.token(`sub-${user}`, lasting),
      means: { account: 'home' as const, user },
    })),
    { text: foreignIdp.token('sub-eve', lasting), means: { account: 'other', user: 'eve' } },
    { text: idp.token('sub-stranger', lasting), means: { account: 'home', user: null } },
    { text: idp.token('sub-alice', { claims: late }), means: 'bad' },
    { text: idp.token('sub-alice', { key: foreignIdp.key }), means: 'bad' },
  ];
  for (const { text, means } of userTokens) hold('a user token', text, { is: 'user-token', token: means });

  return {
    rig,
    model: { users, servers },
    accountIds,
    serverIds,
    held,
    userTokens,
    async close() {
      await rig.close();
      await Promise.all([upstream.close(), idp.close(), foreignIdp.close()]);
    },
  };
}

/** A repeatable source of numbers in [0, 1). */
export function numbersFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A request as it is sent; the case says what it means. */
export interface Sending {
  case: Case;
  held: Held | undefined;
  userToken: string | undefined;
  /** Letters of header names as this client writes them. */
  spelling: 'lower' | 'upper' | 'mixed';
  doubles: string[];
  strict: string | undefined;
}

const wellFormed = ['nobody', 'ALICE', 'BOB', 'alice.', 'alice@example.com', 'a', 'usr_', 'usr_nobody', 'constructor'];
const malformed = [
  '',
  'alice,bob',
  'alice, alice',
  'ali ce',
  '-alice',
  '_alice',
  '__proto__',
  '%61lice',
  '../alice',
  '"alice"',
  '{"id":"alice"}',
  'alice\u00e9',
  '\u0430lice',
  '\uff41lice',
  'alice\u200b',
  'alice\u202e',
  '\u{1f600}',
  'a'.repeat(129),
  `${'a'.repeat(128)}\u00e9`,
  'x'.repeat(8_192),
];
/** What no header can carry: bodies and functions can. */
export const uncarried = ['alice\u0000', 'alice\n', '\u0001', '\ud800', 'bob\udc00x', '\u2028alice', '\u007f'];

export function sendings(world: OverrideWorld, seed: number): () => Sending {
  const random = numbersFrom(seed);
  const chance = (part: number) => random() < part;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const everybody = Object.values(world.model.users).flat();
  const name = (): string => {
    const kind = random();
    if (kind < 0.55) return pick([pick(everybody).username, pick(everybody).id, 'alice', 'bob']);
    if (kind < 0.63) return pick([...wellFormed, 'b'.repeat(128), pick(everybody).id.toLowerCase()]);
    if (kind < 0.9) return pick(malformed);
    return pick(uncarried);
  };
  const places = ['rest', 'aggregate', ...Object.keys(world.model.servers), 'missing'];
  return () => {
    const at = chance(0.25) ? 'rest' : pick(places);
    const isRest = at === 'rest';
    let held = chance(0.04) ? undefined : pick(world.held);
    let inPath = false;
    if (!isRest && at !== 'aggregate') {
      // Mostly a token on its own server: elsewhere it is nothing.
      const own = world.held.find(({ means }) => means.is === 'key' && means.kind === 'url' && means.server === at);
      if (own !== undefined && chance(0.35)) [held, inPath] = [own, chance(0.95)];
      else inPath = held !== undefined && held.means.is !== 'user-token' && chance(0.06);
    }
    const token = chance(0.2) ? pick(world.userTokens) : undefined;
    const header = chance(0.6) ? name() : undefined;
    const body = isRest && chance(0.5) ? (chance(0.4) && header !== undefined ? header : name()) : undefined;
    const scheme = held !== undefined && !inPath && chance(0.01);
    const doubles: string[] = [];
    if (chance(0.04) && header !== undefined) doubles.push('x-alloy-userid');
    if (chance(0.02) && held !== undefined && !inPath) doubles.push('authorization');
    if (chance(0.1) && token !== undefined) doubles.push('x-alloy-user-token');
    const strict = chance(0.3) ? pick(['true', 'TRUE', 'false', '1']) : undefined;
    const means: Credential = scheme ? { is: 'other-scheme' } : (held?.means ?? { is: 'none' });
    return {
      held,
      userToken: token?.text,
      spelling: pick(['lower', 'upper', 'mixed']),
      doubles,
      strict,
      case: {
        at,
        credential: means,
        inPath,
        twoPlaces: inPath && chance(0.03),
        userToken: token?.means,
        header,
        body,
        doubled: doubles.length > 0,
        strict: isRest || strict === 'true',
        onUnknown: chance(0.5) ? 'reject' : 'fallback',
        isCall: isRest || chance(0.7),
        namesNoTool: chance(0.1),
      },
    };
  };
}

/** Name and value by turns, doubles as doubles. */
export function headersOf({ case: asked, held, userToken, spelling, doubles, strict }: Sending): string[] {
  const spelt = (name: string) =>
    spelling === 'lower'
      ? name
      : spelling === 'upper'
        ? name.toUpperCase()
        : name.replace(/(^|-)\w/g, (first) => first.toUpperCase());
  const scheme = asked.credential.is === 'other-scheme' ? 'Basic' : 'Bearer';
  const bearer = held !== undefined && (!asked.inPath || asked.twoPlaces) ? `${scheme} ${held.text}` : undefined;
  const all: [string, string | undefined][] = [
    ['authorization', bearer],
    ['x-alloy-user-token', userToken],
    ['x-alloy-userid', asked.header],
    ['x-valet-strict-user', strict],
  ];
  return all.flatMap(([name, value]) => {
    if (value === undefined) return [];
    const once = [spelt(name), value];
    return doubles.includes(name) ? [...once, name, name === 'x-alloy-userid' ? 'bob' : value] : once;
  });
}
