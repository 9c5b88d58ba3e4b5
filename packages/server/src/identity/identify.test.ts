// One request, one credential: what is refused, with which code, and what a good key proves.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { mintToken } from '../crypto/token.ts';
import type { FoundPrincipal } from '../db/hot-path.ts';
import { Refusal } from '../refusal.ts';
import type { Directory } from './directory.ts';
import { type IdentityParts, identifyRequest, unauthorized } from './identify.ts';

const hashToken = (token: string): Buffer => createHash('sha256').update(token).digest();
const alice = { id: 'usr_1', username: 'alice', enabled: true };

const jwt = 'eyJ.x.y';
const proof = {
  issuerId: 'iss_1',
  subject: 's',
  tokenId: null,
  userId: 'usr_9',
  claims: {},
  scopes: ['a'],
  expiresAt: new Date(Date.now() + 60_000),
};

function parts(known: Record<string, Partial<FoundPrincipal>>) {
  const rows = new Map(Object.entries(known).map(([token, row]) => [hashToken(token).toString('hex'), row]));
  const asked: string[] = [];
  const proved: [string, unknown][] = [];
  const directory = {
    principal: async (hash: Uint8Array) => {
      const hex = Buffer.from(hash).toString('hex');
      asked.push(hex);
      const row = rows.get(hex);
      const base = {
        keyId: 'key_1',
        kind: 'std',
        accountId: 'acc',
        keyName: 'k',
        user: alice,
        server: undefined,
        remainingMs: undefined,
        revoked: false,
        accountEnabled: true,
        scopes: null,
        allowedUsers: null,
        delegation: null,
      };
      return row && ({ ...base, ...row } as FoundPrincipal);
    },
  } as Partial<Directory> as Directory;
  return {
    asked,
    proved,
    identity: {
      directory,
      keyring: { hashToken },
      keyUse: { note: () => undefined },
      config: { publicUrl: 'http://localhost:8080', adminOidc: undefined },
      userTokens: {
        knows: async (token) => token === jwt,
        prove: async (token, place) => {
          proved.push([token, place]);
          if (token !== jwt) throw unauthorized('user_token_unknown');
          return { accountId: 'acc', proof };
        },
      },
    } satisfies IdentityParts,
  };
}

/** A request as Node hands it over: `headers` joined or first-wins, `rawHeaders` as sent. */
function request(...raw: [string, string][]) {
  const headers: Record<string, string> = {};
  for (const [name, value] of raw) headers[name.toLowerCase()] ??= value;
  return { headers, rawHeaders: raw.flat() };
}
const bearer = (token: string): [string, string] => ['Authorization', `Bearer ${token}`];

const std = mintToken('std').token;
const ent = mintToken('ent').token;
const url = mintToken('url').token;
const serverOf = (actsForUsers: boolean, owner: typeof alice | undefined) => ({ id: 'srv', actsForUsers, owner });

async function refusal(work: Promise<unknown>): Promise<Refusal> {
  const error = await work.then(
    (value) => value,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Refusal)) throw new Error(`expected a refusal, got ${JSON.stringify(error)}`);
  return error;
}

describe('a good credential', () => {
  it('proves account, key and the own user of a standard key', async () => {
    const { identity } = parts({ [std]: {} });
    expect(await identifyRequest(request(bearer(std)), identity)).toEqual({
      kind: 'std',
      accountId: 'acc',
      keyId: 'key_1',
      userId: 'usr_1',
      serverId: null,
      mayActForUsers: false,
      expiresAt: null,
      scopes: null,
      allowedUsers: null,
      delegation: null,
      proof: null,
    });
  });

  it.each(['Bearer ', 'bearer ', 'BEARER    '])('is read after the scheme "%s"', async (scheme) => {
    const { identity } = parts({ [std]: {} });
    await expect(identifyRequest(request(['authorization', scheme + std]), identity)).resolves.toMatchObject({
      kind: 'std',
    });
  });

  it('may act for users with enterprise and admin keys, and on servers that such a key made', async () => {
    const { identity } = parts({
      [ent]: { kind: 'ent', user: undefined },
      [std]: { kind: 'adm', user: undefined },
      [url]: { kind: 'url', user: undefined, server: serverOf(true, undefined) },
    });
    expect(await identifyRequest(request(bearer(ent)), identity)).toMatchObject({ mayActForUsers: true, userId: null });
    expect(await identifyRequest(request(bearer(std)), identity)).toMatchObject({ mayActForUsers: true, kind: 'adm' });
    expect(await identifyRequest(request(), identity, { pathToken: url })).toMatchObject({
      mayActForUsers: true,
      serverId: 'srv',
      userId: null,
    });
  });

  it("is its server owner's on a token URL that may not act for users", async () => {
    const { identity } = parts({ [url]: { kind: 'url', user: undefined, server: serverOf(false, alice) } });
    expect(await identifyRequest(request(), identity, { pathToken: url })).toMatchObject({
      mayActForUsers: false,
      userId: 'usr_1',
      serverId: 'srv',
    });
  });

  it('tells when it ends', async () => {
    const { identity } = parts({ [std]: { remainingMs: 60_000 } });
    const before = Date.now();
    const { expiresAt } = await identifyRequest(request(bearer(std)), identity);
    expect((expiresAt?.getTime() ?? 0) - before).toBeGreaterThanOrEqual(59_999);
  });

  it('may have another shape when it is the configured key', async () => {
    const own = 'a-static-key-that-the-operator-chose-himself';
    const { identity } = parts({ [own]: { kind: 'adm', user: undefined } });
    await expect(identifyRequest(request(bearer(own)), identity)).resolves.toMatchObject({ kind: 'adm' });
  });
});

describe('a bad credential', () => {
  const cases: [string, Partial<FoundPrincipal> | undefined, string][] = [
    ['unknown', undefined, 'unknown_token'],
    ['revoked', { revoked: true }, 'revoked_token'],
    ['expired', { remainingMs: -1 }, 'expired_token'],
    ['expiring now', { remainingMs: 0 }, 'expired_token'],
    ['of a disabled account', { accountEnabled: false }, 'account_disabled'],
  ];
  it.each(cases)('is refused with the one answer when %s', async (_, row, reason) => {
    const { identity } = parts(row === undefined ? {} : { [std]: row });
    const error = await refusal(identifyRequest(request(bearer(std)), identity));
    expect(error).toMatchObject({
      code: 'UNAUTHORIZED',
      message: 'Missing or invalid credential',
      reason,
      details: undefined,
    });
  });

  it.each(['', 'x', std.slice(0, -1), `${std}x`, `${std.slice(0, -1)}${std.endsWith('0') ? '1' : '0'}`])(
    'is refused when its text is damaged, without a look-up where its shape tells: "%s"',
    async (token) => {
      const { identity, asked } = parts({ [std]: {} });
      const error = await refusal(identifyRequest(request(['Authorization', `Bearer ${token}`]), identity));
      expect(error.code).toBe('UNAUTHORIZED');
      if (token.startsWith('mcpv_')) expect(asked).toEqual([]);
    },
  );

  it('is refused when it is missing', async () => {
    const error = await refusal(identifyRequest(request(), parts({}).identity));
    expect(error).toMatchObject({ code: 'UNAUTHORIZED', reason: 'no_credential' });
  });

  it.each(['Basic YTpi', 'Token abc', '', 'Bearerabc', std])(
    'is a bad request under another scheme: "%s"',
    async (value) => {
      const error = await refusal(identifyRequest(request(['Authorization', value]), parts({ [std]: {} }).identity));
      expect(error).toMatchObject({ code: 'INVALID_REQUEST', reason: 'other_scheme' });
    },
  );

  it('is refused when it is longer than any key, or holds what no key holds', async () => {
    const { identity, asked } = parts({});
    for (const token of ['a'.repeat(8_193), 'a b', 'a\tb', 'ä'.repeat(40)]) {
      expect((await refusal(identifyRequest(request(bearer(token)), identity))).reason).toBe('malformed_token');
    }
    expect(asked).toEqual([]);
  });
});

describe('two identities', () => {
  const doubled = [
    'authorization',
    'x-alloy-userid',
    'x-alloy-user-token',
    'x-credential-id',
    'x-mcp-server-id',
    'x-valet-strict-user',
    'idempotency-key',
  ];
  it.each(doubled)('are refused: %s sent twice, in any case, also with the same value', async (name) => {
    const { identity, asked } = parts({ [std]: {} });
    const value = name === 'authorization' ? `Bearer ${std}` : 'alice';
    const raw: [string, string][] = [
      [name, value],
      [name.toUpperCase(), value],
    ];
    const all: [string, string][] = name === 'authorization' ? raw : [bearer(std), ...raw];
    const error = await refusal(identifyRequest(request(...all), identity));
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', reason: 'doubled_header' });
    expect(asked).toEqual([]);
  });

  it('are not seen in a header that says nothing about who', async () => {
    const { identity } = parts({ [std]: {} });
    const raw = request(
      bearer(std),
      ['Accept', 'a'],
      ['Accept', 'b'],
      ['X-Forwarded-For', '1'],
      ['x-forwarded-for', '2'],
    );
    await expect(identifyRequest(raw, identity)).resolves.toBeDefined();
  });

  it('are refused: a token in the path beside an Authorization header, even the same', async () => {
    const { identity } = parts({ [url]: { kind: 'url', server: serverOf(false, alice) } });
    const error = await refusal(identifyRequest(request(bearer(url)), identity, { pathToken: url }));
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', reason: 'two_identities' });
  });

  it('are refused: a user token as bearer and in its header, even the same', async () => {
    const { identity } = parts({});
    const error = await refusal(identifyRequest(request(bearer(jwt), ['x-alloy-user-token', jwt]), identity));
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', reason: 'two_identities' });
  });

  it('are not ignored: a bad user token beside a good key', async () => {
    const { identity } = parts({ [ent]: { kind: 'ent', user: undefined } });
    for (const [token, reason] of [
      ['a.b.c', 'user_token_unknown'],
      ['', 'malformed_token'],
      ['a'.repeat(8_193), 'malformed_token'],
    ] as const) {
      const error = await refusal(identifyRequest(request(bearer(ent), ['x-alloy-user-token', token]), identity));
      expect(error).toMatchObject({ code: 'UNAUTHORIZED', reason });
    }
  });
});

describe('a user token', () => {
  it('alone is a principal of its own, as bearer or in its header, without a look at the keys', async () => {
    const { identity, asked, proved } = parts({});
    const sent = [request(bearer(jwt)), request(['x-alloy-user-token', jwt])];
    for (const one of sent) {
      expect(await identifyRequest(one, identity, { serverId: 'srv' })).toMatchObject({
        kind: 'jwt',
        accountId: 'acc',
        keyId: 'iss_1',
        userId: 'usr_9',
        mayActForUsers: false,
        scopes: null,
        expiresAt: proof.expiresAt,
        proof,
      });
    }
    expect(asked).toEqual([]);
    expect(proved).toEqual([
      [jwt, { accountId: undefined, serverId: 'srv' }],
      [jwt, { accountId: undefined, serverId: 'srv' }],
    ]);
  });

  it('beside a key is checked for the account of the key, and ends what the key would outlive', async () => {
    const { identity, proved } = parts({ [ent]: { kind: 'ent', user: undefined, remainingMs: 3_600_000 } });
    const principal = await identifyRequest(request(bearer(ent), ['x-alloy-user-token', jwt]), identity);
    expect(principal).toMatchObject({ kind: 'ent', keyId: 'key_1', proof, expiresAt: proof.expiresAt });
    expect(proved).toEqual([[jwt, { accountId: 'acc', serverId: undefined }]]);
  });

  it('never stands in a path', async () => {
    const { identity, proved } = parts({});
    expect((await refusal(identifyRequest(request(), identity, { pathToken: jwt }))).code).toBe('UNAUTHORIZED');
    expect(proved).toEqual([]);
  });
});

describe('a path', () => {
  it("is good for a server's own token only, which may also stand in the header", async () => {
    const { identity } = parts({
      [url]: { kind: 'url', user: undefined, server: serverOf(true, alice) },
      [ent]: { kind: 'ent' },
      [std]: {},
    });
    for (const token of [ent, std]) {
      const error = await refusal(identifyRequest(request(), identity, { pathToken: token }));
      expect(error).toMatchObject({ code: 'UNAUTHORIZED', reason: 'token_in_wrong_place' });
    }
    for (const work of [
      identifyRequest(request(), identity, { pathToken: url }),
      identifyRequest(request(bearer(url)), identity),
    ]) {
      expect(await work).toMatchObject({ kind: 'url', serverId: 'srv' });
    }
  });
});

describe('the key of a disabled user', () => {
  const off = { ...alice, enabled: false };
  it.each(['std', 'ent', 'adm'] as const)('opens nothing, of kind %s too', async (kind) => {
    const { identity } = parts({ [std]: { kind, user: off } });
    expect(await refusal(identifyRequest(request(bearer(std)), identity))).toMatchObject({
      code: 'USER_DISABLED',
      status: 403,
    });
  });

  it('opens nothing without a user where its kind must have one', async () => {
    const { identity } = parts({ [std]: { kind: 'std', user: undefined } });
    expect(await refusal(identifyRequest(request(bearer(std)), identity))).toMatchObject({ code: 'USER_DISABLED' });
  });

  it('says nothing of the user when the key itself is dead', async () => {
    const { identity } = parts({ [std]: { user: off, revoked: true } });
    expect(await refusal(identifyRequest(request(bearer(std)), identity))).toMatchObject({ code: 'UNAUTHORIZED' });
  });
});
