// KEY-1: the known ways to get in with a token that is none. Each is tried at every door; every one must stay shut, for the expected reason.
import { createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Claims,
  newKey,
  nowSeconds,
  type SigningKey,
  signed,
  signedByHmac,
  startIssuer,
  unsigned,
} from '../support/issuer.ts';
import { startTokenStage, type TokenStage } from './support/user-token-stage.ts';

let stage: TokenStage;
let foreign: SigningKey;
beforeAll(async () => {
  stage = await startTokenStage();
  foreign = newKey();
});
afterAll(() => stage?.close());

const head = (more: Claims = {}) => ({ alg: 'RS256', kid: stage.idp.key.kid, typ: 'JWT', ...more });
const good = (more: Claims = {}) => stage.idp.claims('sub-alice', more);
/** Signed with the issuer's own key. */
const own = (header: Claims, claims: Claims) => signed(head(header), good(claims), stage.idp.key);
const publicPem = () => createPublicKey(stage.idp.key.privateKey).export({ type: 'spki', format: 'pem' }).toString();

type Attack = [name: string, token: () => string, reason: string];
const attacks: Attack[] = [
  ['no signature, alg none', () => unsigned(head({ alg: 'none' }), good()), 'algorithm'],
  ['alg None in another case', () => unsigned(head({ alg: 'nOnE' }), good()), 'algorithm'],
  ['alg none with a signature', () => unsigned(head({ alg: 'none' }), good(), own({}, {}).split('.')[2]), 'algorithm'],
  ['a good header, its signature cut off', () => `${own({}, {}).split('.').slice(0, 2).join('.')}.`, 'signature'],
  ['HS256 with the public key as secret', () => signedByHmac(head({ alg: 'HS256' }), good(), publicPem()), 'algorithm'],
  [
    'HS256 with the modulus as secret',
    () => signedByHmac(head({ alg: 'HS256' }), good(), Buffer.from(String(stage.idp.key.jwk['n']), 'base64url')),
    'algorithm',
  ],
  ['HS256 with an empty secret', () => signedByHmac(head({ alg: 'HS256' }), good(), ''), 'algorithm'],
  ['an algorithm beyond the list', () => own({ alg: 'RS512' }, {}), 'algorithm'],
  ['another algorithm of the list', () => own({ alg: 'ES256' }, {}), 'unknown_key'],
  ['another key under the issuer’s kid', () => signed(head(), good(), foreign), 'signature'],
  ['claims changed after signing', () => changed(own({}, {})), 'signature'],
  ['a foreign issuer', () => own({}, { iss: 'https://evil.example' }), 'unknown'],
  ['an issuer that only begins alike', () => own({}, { iss: `${stage.idp.issuer}/` }), 'unknown'],
  ['an issuer as a list', () => own({}, { iss: [stage.idp.issuer] }), 'unknown'],
  ['no issuer', () => own({}, { iss: undefined }), 'unknown'],
  ['another audience', () => own({}, { aud: 'somebody-else' }), 'audience'],
  ['no audience', () => own({}, { aud: undefined }), 'audience'],
  ['an audience that only contains ours', () => own({}, { aud: 'valet-2' }), 'audience'],
  ['an empty list of audiences', () => own({}, { aud: [] }), 'audience'],
  ['the audience in azp', () => own({}, { aud: undefined, azp: 'valet' }), 'audience'],
  ['the type of a logout token', () => own({ typ: 'logout+jwt' }, {}), 'type'],
  ['a type that is no text', () => own({ typ: ['JWT'] }, {}), 'type'],
  ['a key id that is nobody’s', () => own({ kid: 'nobody' }, {}), 'unknown_key'],
  ['a key id as a path', () => own({ kid: '../../../dev/null' }, {}), 'unknown_key'],
  ['a key id as SQL', () => own({ kid: `' or 1=1 --` }, {}), 'unknown_key'],
  ['a key id that is no text', () => own({ kid: { a: 1 } }, {}), 'key_id'],
  ['its own key in the header', () => signed(head({ jwk: foreign.jwk }), good(), foreign), 'signature'],
  [
    'its own key in the header, under its own kid',
    () => signed(head({ jwk: foreign.jwk, kid: foreign.kid }), good(), foreign),
    'unknown_key',
  ],
  [
    'an address of keys',
    () => signed(head({ jku: `${trap()}/jwks`, kid: foreign.kid }), good(), foreign),
    'unknown_key',
  ],
  ['an address of certificates', () => signed(head({ x5u: `${trap()}/x5u` }), good(), foreign), 'signature'],
  ['a certificate', () => signed(head({ x5c: ['MIIB'] }), good(), foreign), 'signature'],
  ['expired', () => own({}, { iat: nowSeconds() - 600, exp: nowSeconds() - 60 }), 'expired'],
  ['never expiring', () => own({}, { exp: undefined }), 'claim_exp'],
  ['an expiry that is no number', () => own({}, { exp: '9999999999' }), 'claim_exp'],
  ['not yet valid', () => own({}, { nbf: nowSeconds() + 120 }), 'claim_nbf'],
  ['issued in the future', () => own({}, { iat: nowSeconds() + 120, exp: nowSeconds() + 400 }), 'issued_in_future'],
  ['without a time of issue', () => own({}, { iat: undefined }), 'claim_iat'],
  ['expiring before it was issued', () => own({}, { exp: nowSeconds() + 10, iat: nowSeconds() + 20 }), 'lifetime'],
  ['living for years', () => own({}, { exp: nowSeconds() + 86_400 * 365 }), 'lifetime'],
  ['no subject', () => own({}, { sub: undefined }), 'claim_sub'],
  ['a subject that is no text', () => own({}, { sub: { id: 'sub-alice' } }), 'subject'],
  ['an empty subject', () => own({}, { sub: '' }), 'subject'],
  ['a critical header', () => own({ crit: ['exp'] }, {}), 'critical_header'],
  ['a detached payload', () => own({ b64: false, crit: ['b64'] }, {}), 'critical_header'],
  ['compressed', () => own({ zip: 'DEF' }, {}), 'nested'],
  ['encrypted by its header', () => own({ enc: 'A256GCM' }, {}), 'nested'],
  ['a token in a token', () => own({ cty: 'JWT' }, {}), 'nested'],
  ['five parts', () => `${own({}, {})}.a.b`, 'unknown'],
  ['a header that is no JSON', () => `bm8.${own({}, {}).split('.').slice(1).join('.')}`, 'unknown'],
  ['a header that is a list', () => `W10.${own({}, {}).split('.').slice(1).join('.')}`, 'unknown'],
  ['a payload that is no object', () => `${own({}, {}).split('.')[0]}.W10.x`, 'unknown'],
];

const trap = () => stage.idp.issuer;
/** The payload says another subject, the signature is as it was. */
function changed(token: string): string {
  const [header, , tail] = token.split('.');
  return `${header}.${Buffer.from(JSON.stringify(good({ sub: 'sub-bob' }))).toString('base64url')}.${tail}`;
}

describe('a token that is none', () => {
  it('comes from a stage where a good one gets in at every door', async () => {
    const { idp, rig, fixtures, path } = stage;
    for (const alg of ['JWT', 'at+jwt', 'application/at+jwt', undefined])
      expect((await stage.open(idp.token('sub-alice', { header: { typ: alg } }))).status).toBe(200);
    const token = idp.token('sub-alice', { claims: { aud: ['other', 'valet'], jti: 'one' } });
    expect((await stage.open(token)).status).toBe(200);
    expect((await stage.open(token, '/mcp')).status).toBe(200);
    expect((await rig.send('/api/me', { key: token })).body).toMatchObject({
      kind: 'jwt',
      keyId: stage.issuerId,
      effectiveUser: { username: 'alice' },
    });
    const beside = { headers: { 'x-alloy-user-token': token } };
    expect((await stage.open(fixtures.home.enterprise, path, beside)).status).toBe(200);
    expect((await stage.open(undefined, path, beside)).status).toBe(200);
    const call = { serverName: 'demo', methodName: 'whoami' };
    expect((await rig.send('/mcp/tool/call', { key: token, body: call })).body).toMatchObject({ success: true });
  });

  it.each(attacks)('opens no door: %s', async (_name, make, reason) => {
    const { rig, fixtures, path } = stage;
    const before = stage.reasons().length;
    const token = make();
    const beside = { headers: { 'x-alloy-user-token': token } };
    const doors = [
      await stage.open(token),
      await stage.open(token, '/mcp'),
      await rig.send('/api/me', { key: token }),
      await rig.send('/mcp/tool/call', { key: token, body: { serverName: 'demo', methodName: 'whoami' } }),
      await stage.open(fixtures.home.enterprise, path, beside),
      await stage.open(undefined, path, beside),
    ];
    expect(doors.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 401]);
    // One answer for all of them, so that nobody learns how far a token got.
    for (const { body } of doors) expect(JSON.stringify(body)).toContain('Missing or invalid credential');
    const told = stage.reasons().slice(before);
    expect(new Set(told)).toEqual(new Set([`user_token_${reason}`]));
  });

  it('is never longer than 8 KB', async () => {
    const fitting = own({}, { filler: 'x'.repeat(4_000) });
    expect((await stage.open(fitting)).status).toBe(200);
    const long = own({}, { filler: 'x'.repeat(6_300) });
    expect(long.length).toBeGreaterThan(8_192);
    for (const answer of [
      await stage.open(long),
      await stage.open(undefined, stage.path, { headers: { 'x-alloy-user-token': long } }),
    ])
      expect(answer.status).toBe(401);
  });

  it('makes the gateway ask nobody but the configured address', async () => {
    // `jku` and `x5u` of the attacks above name paths of the issuer's own server, which answers any path with its keys.
    const before = stage.idp.fetches;
    await stage.open(signed(head({ jku: `${trap()}/jwks` }), good(), foreign));
    expect(stage.idp.fetches).toBe(before);
  });
});

describe('the keys of an issuer', () => {
  it('are fetched at most twice a minute, however many unknown kids come', async () => {
    const idp = await startIssuer('ES256');
    const { issuerId } = await stage.trust(idp);
    await stage.map(issuerId, 's', 'alice');
    const started = Date.now();
    const statuses = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const batch = Array.from({ length: 25 }, (_, n) =>
        stage.open(idp.token('s', { header: { kid: `kid-${i}-${n}` } })),
      );
      for (const { status } of await Promise.all(batch)) statuses.add(status);
    }
    expect([...statuses]).toEqual([401]);
    // Once in 30 s, so once in all where the machine is not very busy.
    expect(idp.fetches).toBeLessThanOrEqual(1 + Math.floor((Date.now() - started) / 30_000));
    expect((await stage.open(idp.token('s'))).status).toBe(200);
    await idp.close();
  });

  it.each([
    ['hang', () => undefined],
    [
      'are 28 MB',
      (response: import('node:http').ServerResponse) => void response.end(`{"keys":["${'x'.repeat(28_000_000)}"]}`),
    ],
    ['are garbage', (response: import('node:http').ServerResponse) => void response.end('<html>')],
    [
      'are a redirect',
      (response: import('node:http').ServerResponse) => void response.writeHead(302, { location: '/keys' }).end(),
    ],
    ['are an error', (response: import('node:http').ServerResponse) => void response.writeHead(500).end('{"keys":[]}')],
  ])('that %s let nobody in, are no fault of the caller, and hold nobody up', async (_name, answer) => {
    const idp = await startIssuer();
    const { issuerId } = await stage.trust(idp);
    await stage.map(issuerId, 's', 'alice');
    idp.answer = answer;
    const rss = process.memoryUsage().rss;
    const started = performance.now();
    const answers = await Promise.all(Array.from({ length: 20 }, () => stage.open(idp.token('s'))));
    expect(performance.now() - started).toBeLessThan(9_000);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    for (const { headers } of answers) expect(headers.get('retry-after')).toMatch(/^\d+$/);
    expect(idp.fetches).toBe(1);
    // The 28 MB are made in this process by the test; what the gateway would keep of them comes on top.
    expect(process.memoryUsage().rss - rss).toBeLessThan(150_000_000);
    const again = performance.now();
    expect((await stage.open(idp.token('s'))).status).toBe(503);
    // Not asked again: another attempt would be another fetch, and five seconds where it hangs.
    expect([idp.fetches, performance.now() - again < 4_000]).toEqual([1, true]);
    await idp.close();
  });

  it('are no shared secrets, whatever the set says', async () => {
    const idp = await startIssuer();
    const secret = Buffer.alloc(32, 7);
    idp.published = [...idp.published, { kty: 'oct', k: secret.toString('base64url'), kid: 'shared', alg: 'HS256' }];
    const { issuerId } = await stage.trust(idp);
    await stage.map(issuerId, 's', 'alice');
    expect((await stage.open(idp.token('s'))).status).toBe(200);
    expect((await stage.open(signedByHmac({ alg: 'HS256', kid: 'shared' }, idp.claims('s'), secret))).status).toBe(401);
    await idp.close();
  });

  it.each(['RS256', 'PS256', 'ES256', 'EdDSA'] as const)('may be of %s', async (alg) => {
    const idp = await startIssuer(alg);
    const { issuerId } = await stage.trust(idp, { algorithms: [alg] });
    await stage.map(issuerId, 's', 'alice');
    expect((await stage.open(idp.token('s'))).status).toBe(200);
    const other = await startIssuer(alg === 'RS256' ? 'ES256' : 'RS256');
    idp.published = [...idp.published, other.key.jwk];
    expect((await stage.open(idp.token('s', { key: other.key }))).status).toBe(401);
    await Promise.all([idp.close(), other.close()]);
  });
});
