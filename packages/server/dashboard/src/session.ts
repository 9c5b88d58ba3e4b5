// Who is signed in. The three requests that are about the session itself; everything else goes through the SDK.
// Signing in at an issuer is no request of this page: the browser goes there and comes back signed in, or with a word about what went wrong.
export interface Session {
  keyId: string;
  kind: 'adm' | 'ent';
  accountId: string;
  /** The key holds fewer rights than its kind: some pages will refuse. */
  isNarrowed: boolean;
  expiresAt: string;
}

export class SignInError extends Error {
  override readonly name = 'SignInError';
}

const headers = { 'content-type': 'application/json', 'x-valet-session': '1' };

interface Answer {
  session: Session | null;
  /** Where people sign in besides with keys: its host. */
  issuer?: string;
}

async function ask(method: string, body?: unknown): Promise<Answer> {
  const response = await fetch('/admin/session', {
    method,
    headers: body === undefined ? { 'x-valet-session': '1' } : headers,
    credentials: 'same-origin',
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as Partial<Answer> & { error?: { message?: string } };
  if (response.status === 401) throw new SignInError('This key is not valid: it is wrong, revoked or expired.');
  if (response.status === 429) throw new SignInError('Too many attempts from this address. Wait a minute.');
  if (!response.ok) throw new SignInError(answer.error?.message ?? `The gateway answered ${response.status}.`);
  return { ...answer, session: answer.session ?? null };
}

export const currentSession = (): Promise<Answer> => ask('GET');

export const signInPath = '/admin/oidc';

const problems: Readonly<Record<string, string>> = {
  busy: 'Too many attempts from this address. Wait a minute.',
  denied: 'You were not signed in: the sign-in service says that it was cancelled.',
  failed: 'The sign-in service gave an answer that does not hold. An operator finds the reason in the audit trail.',
  not_allowed: 'You are signed in there, but not on the list of those who manage this gateway. Ask an operator.',
  revoked: 'An operator has ended your access. Ask one if you should have it again.',
  stale: 'This sign-in began in another browser or too long ago. Begin again here, at the gateway’s public address.',
  unavailable: 'The sign-in service does not answer now. Try again in a moment.',
};

/** What went wrong on the way back from the issuer, told once. */
export function signInProblem(): string | undefined {
  const word = new URLSearchParams(location.search).get('problem');
  return word === null || !Object.hasOwn(problems, word) ? undefined : problems[word];
}

export async function signIn(apiKey: string): Promise<Session> {
  await ask('POST', { apiKey });
  const { session } = await currentSession();
  // Browsers take a Secure cookie over https and, most of them, on loopback addresses.
  if (session === null)
    throw new SignInError(
      'This browser did not keep the session cookie. Open the dashboard over https or on localhost.',
    );
  return session;
}

export const signOut = (): Promise<Answer> => ask('DELETE');

/** Told when a request finds out that the session is over. */
export const sessionEnded = 'valet-session-ended';
