// The text of a short-lived token of one user, for everything that leaves this process: minted once, kept, and renewed before it ends. The API
// key is only used to mint it; who brought a token of their own needs no other.
import { AuthenticationError, ConfigError, NotFoundError, PermissionError, ResponseError } from '../errors.ts';
import { serverOf } from '../rpc.ts';
import { Cache, credentialNumber, type View } from './identity.ts';
import { mint } from './minted.ts';

const defaultSeconds = 900;
/** Share of its life after which a token is renewed. */
const renewAt = 0.8;

interface Kept {
  text: Promise<string>;
  renewAtMs: number;
  endsAtMs: number;
}
const tokens = new Cache<Kept>(1000);

async function mintText(view: View, ttlSeconds: number): Promise<string> {
  const server = serverOf(view.transport, view.defaults);
  const { token } = await mint(view, { ttlSeconds, ...(server !== undefined && { servers: [server] }) });
  if (typeof token === 'string' && token !== '') return token;
  throw new ResponseError({ message: 'The answer has no token', operation: 'tokens.create' });
}

/** The text of a token that still lives for a while. The same one for all who ask, until it is renewed. */
export async function tokenText(view: View, ttlSeconds = defaultSeconds): Promise<string> {
  const { transport, userId, defaults } = view;
  const { baseUrl, accessUrl, headers } = transport.config;
  transport.assertOpen();
  if (accessUrl !== undefined) {
    throw new ConfigError({ message: 'A tokenized URL mints no tokens', hint: 'Use baseUrl and apiKey' });
  }
  // Who brought a token of their own needs no other.
  if (transport.user !== undefined) {
    const [own] = (await transport.identity(false)).secrets;
    if (own !== undefined) return own;
  }
  const number = await credentialNumber(transport);
  const key = JSON.stringify([baseUrl, number, userId, serverOf(transport, defaults) ?? null, ttlSeconds, headers]);
  const found = tokens.get(transport, key);
  const now = performance.now();
  if (found && now < found.renewAtMs) return found.text;
  const lifeMs = ttlSeconds * 1000;
  const kept: Kept = { text: mintText(view, ttlSeconds), renewAtMs: now + lifeMs * renewAt, endsAtMs: now + lifeMs };
  tokens.set(transport, key, kept);
  try {
    return await kept.text;
  } catch (error) {
    if (tokens.get(transport, key) === kept) tokens.delete(transport, key);
    // While minting fails for a moment, the last one is still good; a refusal is the gateway's decision.
    const isRefused = [AuthenticationError, PermissionError, NotFoundError].some((kind) => error instanceof kind);
    if (!found || isRefused || performance.now() >= found.endsAtMs) throw error;
    tokens.set(transport, key, found);
    return found.text;
  }
}
