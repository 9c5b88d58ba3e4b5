// A gateway with users whose tokens a scripted provider gave out, for the suites about renewal. Asserts nothing about the gateway.
import { type Answer, type Json, type Rig, type RigOptions, startRig } from '../support/gateway.ts';
import { startTokenProvider, type TokenProvider } from './token-provider.ts';

export interface RefreshStage {
  rig: Rig;
  provider: TokenProvider;
  accountId: string;
  /** Deposits tokens of a new grant for the user; the user is made when new. */
  deposit(username: string, more?: { expiresIn?: number; refreshToken?: undefined }): Promise<Deposited>;
  credential(id: string): Promise<Json>;
  close(): Promise<void>;
}

export interface Deposited {
  credentialId: string;
  accessToken: string;
  refreshToken: string;
  key: string;
}

export const connectorId = 'mail';

export async function startRefreshStage(options: RigOptions & { revocation?: boolean } = {}): Promise<RefreshStage> {
  const { revocation, ...rigOptions } = options;
  const provider = await startTokenProvider(revocation === undefined ? {} : { revocation });
  const rig = await startRig({
    ...rigOptions,
    env: { VALET_RATE_LIMIT: '100000', VALET_CONCURRENT_CALLS: '200', ...rigOptions.env },
  });
  await rig.manage('POST', '/api/connectors', provider.connector(connectorId));
  await rig.manage('POST', '/api/servers', { name: 'direct', mode: 'direct' });
  const { account } = await rig.manage('GET', '/api/me');
  const keys = new Map<string, string>();
  return {
    rig,
    provider,
    accountId: account.accountId,
    async deposit(username, more = {}) {
      if (!keys.has(username)) {
        await rig.manage('POST', '/users', { username });
        keys.set(username, (await rig.manage('POST', `/users/${username}/keys`, { key_name: 'k' })).api_key);
      }
      const { accessToken, refreshToken } = provider.grant(`subject-of-${username}`);
      const tokens = { accessToken, refreshToken, expiresIn: 0, ...more };
      const made = await rig.manage('POST', '/api/credentials', {
        userId: username,
        connectorId,
        authenticationType: 'oauth2',
        tokens,
      });
      return { credentialId: made.credentialId, accessToken, refreshToken, key: keys.get(username) as string };
    },
    credential: (id) => rig.manage('GET', `/api/credentials/${id}`),
    async close() {
      await rig.close();
      await provider.close();
    },
  };
}

/** One call of the user's over REST, on any replica. */
export const callEcho = (rig: Rig, username: string, key: string, text = 'hi'): Promise<Answer> =>
  rig.send('/mcp/tool/call', {
    key,
    body: { username, serverName: connectorId, methodName: 'echo', args: { text } },
  });

export const isGood = (answer: Answer): boolean => answer.status === 200 && answer.body?.success === true;

/** Asks until it holds or the time is over. */
export async function until(holds: () => Promise<boolean> | boolean, ms = 10_000): Promise<boolean> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (await holds()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return holds();
}
