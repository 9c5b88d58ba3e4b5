// A gateway whose dashboard people sign in to at an issuer that says what the test wants, and a browser's steps there and back. Asserts nothing.
import { openTestDatabase } from '../support/database.ts';
import { type Json, type Rig, startRig } from '../support/gateway.ts';
import { type SignInIssuer, startSignInIssuer } from './issuer.ts';

export const lead = { sub: 'lead', email: 'Lead@example.com', email_verified: true };
/** What the page sends along. */
export const own = { 'x-valet-session': '1', 'sec-fetch-site': 'same-origin' };

export interface Hop {
  status: number;
  location: string;
  cookies: string[];
}
export interface Entered {
  location: string;
  /** Undefined: no session was given. */
  session: string | undefined;
}

let people = 0;
export const somewhere = () => ({ 'x-forwarded-for': `198.51.100.${++people}` });

export async function hop(url: string, headers: Record<string, string> = {}): Promise<Hop> {
  const answer = await fetch(url, { redirect: 'manual', headers });
  await answer.arrayBuffer();
  return {
    status: answer.status,
    location: answer.headers.get('location') ?? '',
    cookies: answer.headers.getSetCookie(),
  };
}
export const bare = (cookie = ''): string => cookie.split(';')[0] ?? '';
export const comeBack = (back: string, cookie: string): Promise<Hop> =>
  hop(back, { ...somewhere(), ...(cookie !== '' && { cookie }) });
export const entered = ({ location, cookies }: Hop): Entered => ({
  location,
  session: cookies.map(bare).find((one) => one.startsWith('__Host-valet_session=')),
});
export const refused = (problem: string): Entered => ({ location: `/admin?problem=${problem}`, session: undefined });
export const as = (session = '') => ({ cookie: session, ...own });

export interface SignInStage {
  rig: Rig;
  issuer: SignInIssuer;
  /** To the issuer and back to the door: the way back is not opened yet. */
  begin(): Promise<{ cookie: string; toIssuer: URL; back: string }>;
  /** All of it, as whoever the issuer says these claims are. */
  enter(claims?: Record<string, unknown>): Promise<Entered>;
  status(session: string | undefined): Promise<number>;
  keyOf(session: string | undefined): Promise<Json>;
  close(): Promise<void>;
}

export async function startSignInStage(): Promise<SignInStage> {
  const issuer = await startSignInIssuer();
  const rig = await startRig({
    // Where two transactions can be at work at once.
    database: await openTestDatabase('postgres'),
    env: {
      VALET_RATE_LIMIT_STORE: 'memory',
      VALET_ADMIN_OIDC_ISSUER: issuer.issuer,
      VALET_ADMIN_OIDC_CLIENT_ID: issuer.clientId,
      VALET_ADMIN_OIDC_CLIENT_SECRET: issuer.clientSecret,
      VALET_ADMIN_OIDC_ALLOW: 'email:lead@example.com, sub:robot-7, group:gateway-admins',
      // Every person here comes from an address of its own: attempts are counted by address.
      VALET_TRUST_PROXY: '127.0.0.1',
    },
  });
  const begin: SignInStage['begin'] = async () => {
    const { location, cookies } = await hop(`${rig.url}/admin/oidc`, somewhere());
    return { cookie: bare(cookies[0]), toIssuer: new URL(location), back: (await hop(location)).location };
  };
  return {
    rig,
    issuer,
    begin,
    async enter(claims = lead) {
      issuer.claims = claims;
      const { cookie, back } = await begin();
      return entered(await comeBack(back, cookie));
    },
    status: async (session) => (await rig.send('/users', { headers: as(session) })).status,
    keyOf: async (session) => (await rig.send('/api/me', { headers: as(session) })).body,
    async close() {
      await rig.close();
      await issuer.close();
    },
  };
}
