// From a good token to one user of one account: who a subject is, who it never becomes, and what ends its way in.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Json, toolJson } from '../support/gateway.ts';
import { nowSeconds, signedByHmac, startIssuer } from '../support/issuer.ts';
import { wireText } from '../support/recorded-request.ts';
import { startTokenStage, type TokenStage } from './support/user-token-stage.ts';

let stage: TokenStage;
beforeAll(async () => {
  stage = await startTokenStage();
});
afterAll(() => stage?.close());
beforeEach(() => stage.fixtures.upstream.reset());

/** Another issuer with this configuration, and what its tokens open. */
async function other(more: Json = {}) {
  const idp = await startIssuer('ES256');
  const issuer = await stage.trust(idp, more);
  const me = (token: string) => stage.rig.send('/api/me', { key: token });
  return { idp, issuerId: issuer.issuerId as string, me, close: () => idp.close() };
}
const codeOf = ({ body }: { body: Json }): string => body.error?.data?.code ?? body.error?.code;

describe('a subject', () => {
  it('is the user that it was mapped to, whatever the token says beside', async () => {
    const { idp, fixtures, whoami, rig } = stage;
    const { alice, bob } = fixtures.home;
    const claims = { username: 'bob', preferred_username: 'bob', email: 'bob', userId: bob.userId, name: 'bob' };
    expect((await whoami(idp.token('sub-alice', { claims }))).body.result.isError).toBeUndefined();
    const arrived = wireText(fixtures.upstream.recorded);
    expect(arrived).toContain(alice.canary);
    expect(arrived).not.toContain(bob.canary);
    const [call] = (await rig.manage('GET', '/api/calls?limit=1')).calls;
    expect(call).toMatchObject({ username: 'alice', outcome: 'ok' });
  });

  it('that nobody mapped is nobody', async () => {
    const answer = await stage.open(stage.idp.token('sub-nobody'));
    expect(answer.status).toBe(403);
    expect(codeOf(answer)).toBe('USER_NOT_FOUND');
    // A username of the account is no subject.
    expect((await stage.open(stage.idp.token('alice'))).status).toBe(403);
  });

  it('is another one at another issuer, and in another account', async () => {
    const second = await other();
    expect((await stage.open(second.idp.token('sub-alice'))).status).toBe(403);
    const { home, other: theirs } = stage.fixtures;
    const foreign = await stage.open(stage.idp.token('sub-alice'), `/mcp/${theirs.server.serverId}`);
    const missing = await stage.open(stage.idp.token('sub-alice'), '/mcp/nowhere-00000000');
    expect([foreign.status, missing.status]).toEqual([404, 404]);
    const plain = (text: string) => text.replace(/req_\w+/, 'req');
    expect(plain(foreign.text)).toBe(plain(missing.text));
    const beside = { headers: { 'x-alloy-user-token': stage.idp.token('sub-alice') } };
    expect((await stage.open(theirs.enterprise, `/mcp/${theirs.server.serverId}`, beside)).status).toBe(401);
    expect((await stage.open(home.enterprise, stage.path, beside)).status).toBe(200);
    await second.close();
  });

  it('is one user for good: mapping it to another is a conflict', async () => {
    const body = { issuerId: stage.issuerId, subject: 'sub-alice', userId: 'bob' };
    expect((await stage.rig.send('/api/identities', { key: stage.rig.admin, body })).status).toBe(409);
  });

  it('may be named by another claim, and the user by a claim of its own', async () => {
    const bySid = await other({ subjectClaim: 'https://acme.example/uid' });
    await stage.map(bySid.issuerId, 'uid-1', 'bob');
    const token = bySid.idp.token('whatever', { claims: { 'https://acme.example/uid': 'uid-1' } });
    expect((await bySid.me(token)).body.effectiveUser.username).toBe('bob');
    const byName = await other({ userClaim: 'app.user', createUsers: true });
    const named = (user: unknown) => byName.me(byName.idp.token('x', { claims: { app: { user } } }));
    expect((await named('alice')).body.effectiveUser.username).toBe('alice');
    expect((await named(stage.fixtures.home.bob.userId)).body.effectiveUser.username).toBe('bob');
    for (const user of ['nobody', stage.fixtures.other.alice.userId, 'Alice', '', ['alice'], undefined])
      expect((await named(user)).status).toBe(404);
    await Promise.all([bySid.close(), byName.close()]);
  });
});

describe('a subject seen for the first time', () => {
  it('becomes one new user, also when it comes many times at once', async () => {
    const { idp, issuerId, me, close } = await other({ createUsers: true, usernameClaim: 'email' });
    const token = idp.token('auth0|new', { claims: { email: 'new@acme.example' } });
    const answers = await Promise.all(Array.from({ length: 20 }, () => me(token)));
    expect(new Set(answers.map(({ body }) => body.effectiveUser.userId)).size).toBe(1);
    expect(answers[0]?.body.effectiveUser.username).toBe('new@acme.example');
    const { identities } = await stage.rig.manage('GET', `/api/identities?issuerId=${issuerId}`);
    expect(identities).toHaveLength(1);
    const { users } = await stage.rig.manage('GET', '/users?limit=1000');
    expect(users.filter(({ username }: Json) => username.includes('acme.example'))).toHaveLength(1);
    const { userId } = identities[0];
    const { events } = await stage.rig.manage('GET', `/api/audit?action=user.create&userId=${userId}`);
    expect(events).toHaveLength(1);
    await close();
  });

  it('never becomes somebody who is there, whatever it calls itself', async () => {
    const { idp, me, close } = await other({ createUsers: true, usernameClaim: 'name' });
    const { alice } = stage.fixtures.home;
    const names = ['alice', 'default', alice.userId, 'ALICE', '__proto__', 'a b', '', 'x'.repeat(200)];
    const made = new Set<string>();
    for (const name of names) {
      for (const subject of [`s-${names.indexOf(name)}`, name]) {
        if (subject === '') continue;
        const { status, body } = await me(idp.token(subject, { claims: { name } }));
        expect(status).toBe(200);
        expect([alice.userId]).not.toContain(body.effectiveUser.userId);
        expect(['alice', 'default']).not.toContain(body.effectiveUser.username);
        made.add(body.effectiveUser.userId);
      }
    }
    expect(made.size).toBe(names.length * 2 - 1);
    await close();
  });

  it('stays nobody where the issuer may make no users', async () => {
    const before = (await stage.rig.manage('GET', '/users')).total;
    await stage.open(stage.idp.token('somebody-new'));
    expect((await stage.rig.manage('GET', '/users')).total).toBe(before);
  });
});

describe('tenant and scopes', () => {
  it('let in only who is of the tenant, and has all that the issuer demands', async () => {
    const tenant = { claim: 'org_id', values: ['acme', 7] };
    const { idp, issuerId, me, close } = await other({ tenant, requiredScopes: ['mcp:use', 'mcp:tools'] });
    await stage.map(issuerId, 's', 'alice');
    const status = async (claims: Json) => (await me(idp.token('s', { claims }))).status;
    const scope = 'mcp:use mcp:tools';
    expect(await status({ org_id: 'acme', scope })).toBe(200);
    expect(await status({ org_id: 7, scp: ['mcp:use', 'mcp:tools'] })).toBe(200);
    for (const org_id of ['globex', 'ACME', '7', ['acme'], { 0: 'acme' }, null, undefined])
      expect(await status({ org_id, scope })).toBe(401);
    for (const held of ['mcp:use', 'mcp:usemcp:tools', '', undefined, 'mcp:use,mcp:tools'])
      expect(await status({ org_id: 'acme', scope: held })).toBe(403);
    await close();
  });

  it('tell apart accounts that trust the same issuer for the same audience', async () => {
    const idp = await startIssuer('ES256');
    const { home, other: theirs } = stage.fixtures;
    const org = (value: string) => ({ tenant: { claim: 'org', values: [value] } });
    const ours = await stage.trust(idp, org('ours'));
    const foreign = await stage.trust(idp, org('theirs'), theirs.admin);
    await stage.map(ours.issuerId, 's', 'alice');
    await stage.map(foreign.issuerId, 's', 'bob', theirs.admin);
    const account = async (claims: Json) =>
      (await stage.rig.send('/api/me', { key: idp.token('s', { claims }) })).body.account?.accountId;
    expect(await account({ org: 'ours' })).toBe(home.accountId);
    expect(await account({ org: 'theirs' })).toBe(theirs.accountId);
    expect(await account({ org: 'nobody' })).toBeUndefined();
    // Without a tenant nobody can say which account is meant, unless a server does.
    for (const [id, admin] of [
      [ours.issuerId, home.admin],
      [foreign.issuerId, theirs.admin],
    ])
      await stage.rig.manage('PATCH', `/api/issuers/${id}`, { tenant: null }, admin);
    const token = idp.token('s');
    expect((await stage.rig.send('/api/me', { key: token })).status).toBe(401);
    expect(stage.reasons().at(-1)).toBe('user_token_ambiguous_account');
    expect((await stage.open(token)).status).toBe(200);
    expect((await stage.open(token, `/mcp/${theirs.server.serverId}`)).status).toBe(200);
    await idp.close();
  });
});

describe('an end', () => {
  it('comes to tokens issued before a sign-out, and not to later ones', async () => {
    const { idp, issuerId, me, close } = await other();
    await stage.rig.manage('POST', '/users', { username: 'leaver' });
    await stage.map(issuerId, 's', 'leaver');
    const old = idp.token('s', { claims: { iat: nowSeconds() - 5 } });
    expect((await me(old)).status).toBe(200);
    // The user's own token may do it.
    expect((await stage.rig.send('/api/users/leaver/sign-out', { method: 'POST', key: old })).status).toBe(200);
    expect((await me(old)).status).toBe(401);
    expect(stage.reasons().at(-1)).toBe('user_token_signed_out');
    expect((await me(idp.token('s', { claims: { iat: nowSeconds() + 2 } }))).status).toBe(200);
    await close();
  });

  it('comes to one token by its jti, at once', async () => {
    const { idp, issuerId, me, close } = await other();
    await stage.map(issuerId, 's', 'alice');
    const [one, two] = ['j-1', 'j-2'].map((jti) => idp.token('s', { claims: { jti } }));
    expect([(await me(one as string)).status, (await me(two as string)).status]).toEqual([200, 200]);
    await stage.rig.manage('POST', `/api/issuers/${issuerId}/revoked-tokens`, { tokenId: 'j-1' });
    expect([(await me(one as string)).status, (await me(two as string)).status]).toEqual([401, 200]);
    await close();
  });

  it('comes with the user, the mapping, the issuer and the account', async () => {
    const { rig, fixtures } = stage;
    const { idp, issuerId, me, close } = await other();
    await rig.manage('POST', '/users', { username: 'passing' });
    await stage.map(issuerId, 's', 'passing');
    const token = idp.token('s');
    const opens = async () => (await me(token)).status;
    expect(await opens()).toBe(200);
    await rig.manage('PATCH', '/users/passing/enable', { enabled: false });
    expect(await opens()).toBe(403);
    await rig.manage('PATCH', '/users/passing/enable', { enabled: true });
    expect(await opens()).toBe(200);
    await rig.manage('DELETE', `/api/identities/${issuerId}/s`);
    expect(await opens()).toBe(404);
    await stage.map(issuerId, 's', 'passing');
    expect(await opens()).toBe(200);
    await rig.manage('PATCH', `/api/issuers/${issuerId}`, { enabled: false });
    expect(await opens()).toBe(401);
    await rig.manage('PATCH', `/api/issuers/${issuerId}`, { enabled: true, audience: ['another'] });
    expect(await opens()).toBe(401);
    await rig.manage('PATCH', `/api/issuers/${issuerId}`, { audience: [idp.audience] });
    expect(await opens()).toBe(200);
    await rig.manage('DELETE', `/api/issuers/${issuerId}`);
    expect(await opens()).toBe(401);
    const theirs = fixtures.other;
    const foreign = await stage.trust(idp, {}, theirs.admin);
    await stage.map(foreign.issuerId, 's', 'alice', theirs.admin);
    expect(await opens()).toBe(200);
    await rig.asOwner(`update accounts set enabled = false where id = '${theirs.accountId}'`);
    await expect.poll(opens, { timeout: 15_000 }).toBe(401);
    await close();
  });
});

describe('a shared secret', () => {
  it('is made by the gateway, shown once, and verifies HS256 only', async () => {
    const { rig } = stage;
    const body = { type: 'jwt', name: 'backend', issuer: 'my-backend', audience: ['valet'], sharedSecret: true };
    const made = await rig.manage('POST', '/api/issuers', body);
    expect(Buffer.byteLength(made.secret)).toBeGreaterThanOrEqual(32);
    expect(await rig.manage('GET', `/api/issuers/${made.issuerId}`)).not.toHaveProperty('secret');
    await stage.map(made.issuerId, 's', 'alice');
    const claims = { iss: 'my-backend', aud: 'valet', sub: 's', iat: nowSeconds(), exp: nowSeconds() + 60 };
    const token = (secret: string) => signedByHmac({ alg: 'HS256' }, claims, secret);
    const answer = await stage.whoami(token(made.secret));
    expect(toolJson(answer).headers.authorization).toBe('Bearer [secret]');
    expect((await stage.open(token(`${made.secret}x`))).status).toBe(401);
    const [row] = await rig.sql<{ secret: Uint8Array }>(
      stage.fixtures.home.accountId,
      'select secret from issuers where id = $1',
      [made.issuerId],
    );
    expect(Buffer.from(row?.secret ?? []).includes(made.secret)).toBe(false);
    for (const wrong of [{ jwksUri: stage.idp.jwksUri }, { algorithms: ['RS256'] }])
      expect(
        (await rig.send('/api/issuers', { key: rig.admin, body: { ...body, ...wrong, name: 'x', issuer: 'y' } }))
          .status,
      ).toBe(422);
    const asymmetric = { ...body, sharedSecret: undefined, name: 'z', issuer: 'z', jwksUri: stage.idp.jwksUri };
    expect(
      (await rig.send('/api/issuers', { key: rig.admin, body: { ...asymmetric, algorithms: ['RS256', 'HS256'] } }))
        .status,
    ).toBe(422);
  });
});
