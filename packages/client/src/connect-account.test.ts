// `connectAccount`: which credential a link is for, that the link is not printed, and how waiting ends.
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AbortError, CredentialRequiredError, NotFoundError, ValidationError } from './index.ts';
import { clientOf, json, type Seen } from './stand-in.test-support.ts';

const made = {
  credentialId: 'c-new',
  connectorId: 'mail',
  authenticationType: 'oauth2',
  status: 'pending',
  shared: false,
  updatedAt: '2026-11-21T10:00:00.000Z',
};
const link = { oauthUrl: 'https://gw.example.com/connect/canary-link', expiresAt: '2026-11-21T10:10:00.000Z' };

/** A gateway with these credentials, which answers `GET` of one with what `states` says, the last again and again. */
async function stage(credentials: object[], states: object[] = [{}]) {
  let asked = 0;
  return clientOf(
    (seen: Seen, response) => {
      if (seen.method === 'POST') {
        const [, credentialId = 'c-new'] = /credentials\/([^/]+)\/connect/.exec(seen.path) ?? [];
        const of = credentials.find((each) => (each as typeof made).credentialId === credentialId) ?? made;
        return json(response, 201, { ...of, credentialId, ...link });
      }
      if (seen.path.startsWith('/api/credentials?')) return json(response, 200, { credentials, total: 1 });
      const state = states[Math.min(asked++, states.length - 1)] as { http?: number };
      if (state.http === 404) return json(response, 404, { error: { code: 'NOT_FOUND', message: 'gone' } });
      if (state.http === 503) return json(response, 503, {});
      return json(response, 200, { ...made, ...state });
    },
    { maxRetries: 0 },
  );
}
const sent = (seen: Seen[]) => seen.map(({ method, path }) => `${method} ${path}`);
afterEach(() => {
  vi.useRealTimers();
});

describe('a link', () => {
  it('is of a new credential of this user, and printed nowhere', async () => {
    const { client, seen } = await stage([]);
    const redirectUri = 'https://app.example.com/connected';
    const account = await client.forUser('alice').connectAccount({ connector: 'mail', redirectUri });
    expect(account).toMatchObject({ connectUrl: link.oauthUrl, credentialId: 'c-new', expiresAt: link.expiresAt });
    expect(sent(seen)).toEqual([
      'GET /api/credentials?userId=alice&connectorId=mail&limit=100',
      'POST /api/credentials',
    ]);
    expect(seen[1]?.json).toEqual({ redirectUri, userId: 'alice', connectorId: 'mail', authenticationType: 'oauth2' });
    expect(inspect(account) + JSON.stringify(account)).not.toContain('canary-link');
  });

  it('goes on with a sign-in that is open or has to be renewed, and not with other credentials', async () => {
    const others = [
      { ...made, credentialId: 'c-good', status: 'valid' },
      { ...made, credentialId: 'c-key', authenticationType: 'api_key' },
      { ...made, credentialId: 'c-shared', shared: true },
    ];
    for (const [status, path] of [
      ['pending', 'POST /api/credentials/c-open/connect'],
      ['reauth_required', 'POST /api/credentials/c-open/connect'],
      ['valid', 'POST /api/credentials'],
    ]) {
      const { client, seen } = await stage([...others, { ...made, credentialId: 'c-open', status }]);
      await client.forUser('alice').connectAccount({ connector: 'mail' });
      expect(sent(seen).at(-1)).toBe(path);
    }
  });

  it('is of the credential that is named, without looking for another', async () => {
    const { client, seen } = await stage([]);
    await client.forUser('alice').connectAccount({ connector: 'mail', credentialId: 'c-7' });
    expect(sent(seen)).toEqual(['POST /api/credentials/c-7/connect']);
  });

  it('needs a connector', async () => {
    const { client, seen } = await stage([]);
    await expect(client.forUser('alice').connectAccount({} as never)).rejects.toThrowError(ValidationError);
    expect(seen).toEqual([]);
  });
});

describe('waiting', () => {
  const linkOf = async (states: object[], credentials: object[] = [], credentialId?: string) => {
    const { client, seen } = await stage(credentials, states);
    const params = { connector: 'mail', ...(credentialId !== undefined && { credentialId }) };
    const account = await client.forUser('alice').connectAccount(params);
    const polls = () => seen.filter(({ path }) => /credentials\/[^/]+$/.test(path)).length;
    return { account, client, polls };
  };
  /** Time passes only where the SDK sleeps and asks for the time; the network is real. */
  const simulate = () => vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
  const through = async <T>(running: Promise<T>): Promise<T> => {
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    running.then(over, over);
    while (!isOver) {
      await new Promise((resolve) => setImmediate(resolve));
      await vi.advanceTimersByTimeAsync(200);
    }
    return running;
  };

  it('ends with the credential when it is valid, also past a moment without gateway', async () => {
    const { account, polls } = await linkOf([{}, { http: 503 }, {}, { status: 'valid' }]);
    simulate();
    expect(await through(account.wait())).toMatchObject({ credentialId: 'c-new', status: 'valid' });
    expect(polls()).toBe(4);
  });

  it('of a credential that was good before ends when it has changed', async () => {
    const good = { ...made, credentialId: 'c-7', status: 'valid' };
    const renewed = { status: 'valid', updatedAt: '2026-11-21T10:01:00.000Z' };
    const { account, polls } = await linkOf([{ status: 'valid' }, renewed], [good], 'c-7');
    simulate();
    expect(await through(account.wait())).toMatchObject(renewed);
    expect(polls()).toBe(2);
  });

  it('ends with CredentialRequiredError when the link has, and asks ever more slowly until then', async () => {
    const { account, polls } = await linkOf([{}]);
    simulate();
    const error = await through(account.wait()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CredentialRequiredError);
    expect(error).toMatchObject({
      code: 'CONNECT_LINK_EXPIRED',
      connector: 'mail',
      reason: 'missing',
      connectUrl: link.oauthUrl,
    });
    expect(inspect(error, { depth: 9 })).not.toContain('canary-link');
    expect(polls()).toBeGreaterThan(100);
    expect(polls()).toBeLessThan(140);
  });

  it('ends with what the gateway says when the credential is gone', async () => {
    const { account, polls } = await linkOf([{ http: 404 }]);
    await expect(account.wait()).rejects.toThrowError(NotFoundError);
    expect(polls()).toBe(1);
  });

  it('ends at once when the signal fires or the client is closed', async () => {
    const { account, client, polls } = await linkOf([{}]);
    const controller = new AbortController();
    const waiting = account.wait({ signal: controller.signal });
    await expect.poll(polls).toBe(1);
    controller.abort();
    await expect(waiting).rejects.toThrowError(AbortError);
    const other = account.wait();
    await expect.poll(polls).toBe(2);
    // Until it sleeps.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await client.close();
    await expect(other).rejects.toThrowError(/closed/);
  });
});
