// Sign-in to the dashboard at an OpenID Connect issuer, what does not hold: no trick gives a session, and every one is on the trail.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AdminOidc } from '../../packages/server/src/config.ts';
import { newSeed, OidcError, OidcSignIn } from '../../packages/server/src/dashboard/oidc.ts';
import type { Json, Rig } from '../support/gateway.ts';
import { newKey } from '../support/issuer.ts';
import type { SignInIssuer } from './issuer.ts';
import {
  bare,
  comeBack,
  entered,
  type Hop,
  hop,
  lead,
  refused,
  type SignInStage,
  somewhere,
  startSignInStage,
} from './sign-in-stage.ts';

let stage: SignInStage;
let rig: Rig;
let issuer: SignInIssuer;

beforeAll(async () => {
  stage = await startSignInStage();
  ({ rig, issuer } = stage);
});
afterAll(() => stage?.close());
beforeEach(() => Object.assign(issuer, { claims: lead, more: {}, metadata: {}, isDown: false }));

/** Asks what the issuer says of itself now; the gateway's own has asked before. */
const ownSignIn = (): OidcSignIn => {
  const { parts } = rig.gateway.gateway;
  return new OidcSignIn(parts, parts.config.adminOidc as AdminOidc);
};

describe('what does not hold is refused without a session', () => {
  it.each([
    ['an ID token for another client', { aud: 'somebody-else' }],
    ['an ID token of another issuer', { iss: 'https://other.example' }],
    ['an ID token of another sign-in', { nonce: 'of-another-one' }],
    ['an ID token without a nonce', { nonce: undefined }],
    ['an ID token that is over', { iat: 1_700_000_000, exp: 1_700_000_300 }],
  ])('%s', async (_what, claims) => {
    expect(await stage.enter({ ...lead, ...claims })).toEqual(refused('failed'));
  });

  it('a second answer about somebody else', async () => {
    issuer.more = { sub: 'somebody-else', email: lead.email, email_verified: true };
    expect(await stage.enter({ sub: 'lead' })).toEqual(refused('failed'));
  });

  it('an ID token that somebody else signed', async () => {
    const { key } = issuer;
    issuer.key = newKey('ES256');
    expect(await stage.enter()).toEqual(refused('failed'));
    issuer.key = key;
  });

  it('a state of another sign-in, none, and an answer without this browser’s cookie, before anything is sent to the issuer', async () => {
    const [mine, theirs] = await Promise.all([stage.begin(), stage.begin()]);
    const redeemed = issuer.redeemed;
    const changed = new URL(mine.back);
    changed.searchParams.set('state', 'made-up');
    const without = new URL(mine.back);
    without.searchParams.delete('state');
    const error = new URL(`${rig.url}/admin/oidc/callback?error=access_denied&state=made-up`);
    const answers = await Promise.all([
      // Somebody else's answer slipped into this browser: it would manage as that person without knowing.
      comeBack(theirs.back, mine.cookie),
      comeBack(changed.href, mine.cookie),
      comeBack(without.href, mine.cookie),
      comeBack(error.href, mine.cookie),
      comeBack(mine.back, ''),
      comeBack(mine.back, `${mine.cookie}; ${theirs.cookie}`),
    ]);
    expect(answers.map(entered)).toEqual(answers.map(() => refused('stale')));
    expect(issuer.redeemed).toBe(redeemed);
  });

  it('an answer that names another issuer, or none where the issuer says that it always does', async () => {
    const { cookie, back } = await stage.begin();
    const redeemed = issuer.redeemed;
    expect(entered(await comeBack(`${back}&iss=https%3A%2F%2Fother.example`, cookie))).toEqual(refused('failed'));
    issuer.metadata = { authorization_response_iss_parameter_supported: true };
    const signIn = ownSignIn();
    const seed = newSeed();
    const answer = new URL((await hop(await signIn.begin(seed))).location).searchParams;
    await expect(signIn.finish(seed, answer)).rejects.toMatchObject({ name: 'OidcError', problem: 'failed' });
    expect(issuer.redeemed).toBe(redeemed);
    answer.set('iss', issuer.issuer);
    expect(await signIn.finish(seed, answer)).toMatchObject({ issuer: issuer.issuer, subject: 'lead' });
  });

  it.each(['javascript:alert(1)', 'http://169.254.169.254/', 'https://10.0.0.1/authorize'])(
    'a browser is not sent where the gateway itself would not go: %s',
    async (address) => {
      issuer.metadata = { authorization_endpoint: address };
      await expect(ownSignIn().begin(newSeed())).rejects.toThrow(OidcError);
    },
  );

  it('a code for the second time, and the cookie is taken away with the first', async () => {
    const { cookie, back } = await stage.begin();
    const first = await comeBack(back, cookie);
    expect(first.cookies.filter((one) => one.startsWith('__Host-valet_oidc=; Path=/; Max-Age=0;'))).toHaveLength(1);
    expect(entered(first).location).toBe('/admin');
    expect(entered(await comeBack(back, cookie))).toEqual(refused('failed'));
  });

  it('a code of another sign-in under this one’s state: its challenge does not fit', async () => {
    const [mine, theirs] = await Promise.all([stage.begin(), stage.begin()]);
    const mixed = new URL(mine.back);
    mixed.searchParams.set('code', new URL(theirs.back).searchParams.get('code') ?? '');
    const redeemed = issuer.redeemed;
    expect(entered(await comeBack(mixed.href, mine.cookie))).toEqual(refused('failed'));
    // The issuer itself refused: it is not the nonce alone that keeps the two apart.
    expect(issuer.redeemed).toBe(redeemed);
  });

  it('a beginning that another site made; and nothing in an address leads anywhere but to the issuer and the page', async () => {
    for (const site of ['cross-site', 'same-site']) {
      const forced = await hop(`${rig.url}/admin/oidc`, { ...somewhere(), 'sec-fetch-site': site });
      expect([forced.location, forced.cookies]).toEqual(['/admin', []]);
    }
    const tricks = 'return_to=https://evil.example&redirect_uri=https://evil.example&next=//evil.example';
    const { cookies, location } = await hop(`${rig.url}/admin/oidc?${tricks}`, somewhere());
    expect(new URL(location).searchParams.get('redirect_uri')).toBe(`${rig.url}/admin/oidc/callback`);
    const back = await hop(`${(await hop(location)).location}&${tricks}`, { ...somewhere(), cookie: bare(cookies[0]) });
    expect(back.location).toBe('/admin');
  });

  it('an issuer that does not answer, or a person that said no, is told apart and let be', async () => {
    const { cookie, back, toIssuer } = await stage.begin();
    const no = `${rig.url}/admin/oidc/callback?error=access_denied&state=${toIssuer.searchParams.get('state')}`;
    expect(entered(await comeBack(no, cookie))).toEqual(refused('denied'));
    issuer.isDown = true;
    expect(entered(await comeBack(back, cookie))).toEqual(refused('unavailable'));
  });

  it.each(['/admin/oidc', '/admin/oidc/callback'])(
    'more attempts from one address than a person makes, at %s',
    async (path) => {
      const headers = somewhere();
      const answers: Hop[] = [];
      for (let i = 0; i < 22; i++) answers.push(await hop(rig.url + path, headers));
      const busy = answers.map((answer) => answer.location === refused('busy').location);
      expect(busy.indexOf(true)).toBe(20);
      expect(entered(answers.at(-1) as Hop)).toEqual(refused('busy'));
    },
  );

  it('an account that was closed, or does not exist', async () => {
    const { accountId } = await rig.manage('POST', '/api/accounts', { name: 'closed' });
    await rig.manage('PATCH', `/api/accounts/${accountId}`, { enabled: false });
    const settings = rig.gateway.gateway.parts.config.adminOidc as AdminOidc;
    try {
      for (const account of ['closed', 'nobody']) {
        settings.account = account;
        expect(await stage.enter()).toEqual(refused('failed'));
      }
    } finally {
      settings.account = 'default';
    }
  });

  it('and every refusal is on the trail, with the person where the issuer named one', async () => {
    await stage.enter({ sub: 'mallory', email: 'mallory@example.com', email_verified: true });
    const events = await rig.sql<Json>(
      '_system',
      `select reason, details from audit_events where action = 'auth.sign_in'`,
    );
    expect(events).toContainEqual({
      reason: 'oidc_not_on_the_list',
      details: { issuer: issuer.issuer, subject: 'mallory', email: 'mallory@example.com' },
    });
    const reasons = new Set(events.map(({ reason }) => reason));
    expect([...reasons]).toEqual(
      expect.arrayContaining([
        'oidc_no_cookie',
        'oidc_state',
        'oidc_denied',
        'oidc_rate_limited',
        'oidc_refused_invalid_grant',
      ]),
    );
  });
});
