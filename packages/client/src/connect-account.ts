// Connecting an account: finds or makes the credential, hands out its link, and watches for the moment when the user has signed in. The link acts
// for its user, so it is never printed.
import { type Contract, contract, type RouteReply } from '@mcp-valet/shared';
import type { AccountLink, ConnectParams } from './account-link.ts';
import { aborted } from './attempt.ts';
import { CredentialRequiredError, ResponseError, ValetError, ValidationError } from './errors.ts';
import type { Settled } from './operation.ts';
import type { CallOptions } from './options.ts';
import { maskOneTime } from './redact.ts';
import { isRecord } from './respond.ts';
import { routeCall, routeList, routeSend } from './route-call.ts';
import type { Transport } from './transport.ts';

type Credential = RouteReply<Contract['credentials']['get']>;

const name = 'connectAccount';
/** The life of a link of which the server does not say when it ends. */
const defaultLifeMs = 600_000;
const firstPauseMs = 1000;
const longestPauseMs = 5000;
/** A sign-in that began in time may end a little later. */
const graceMs = 15_000;

export async function connectAccount(
  transport: Transport,
  userId: string,
  params: ConnectParams,
  options: CallOptions | undefined,
): Promise<Settled<AccountLink>> {
  if (!isRecord(params) || typeof params.connector !== 'string' || params.connector === '') {
    throw new ValidationError({ message: 'connector must be a non-empty string', path: 'connector' });
  }
  const { connector: connectorId, redirectUri } = params;
  const more = redirectUri === undefined ? {} : { redirectUri };
  const credentialId = params.credentialId ?? (await waitingOne(transport, userId, connectorId, options));
  const given =
    credentialId === undefined
      ? { input: { ...more, userId, connectorId, authenticationType: 'oauth2' }, options, userId }
      : { ids: { credentialId }, input: more, options, userId };
  const route = credentialId === undefined ? contract.credentials.create : contract.credentials.connect;
  const toLink = (reply: unknown) => linkOf(transport, userId, connectorId, reply as Credential);
  return routeSend(transport, name, route, () => given, toLink);
}

/** A credential of the user that waits for its sign-in, so that a page that is loaded twice makes one. */
async function waitingOne(
  transport: Transport,
  userId: string,
  connectorId: string,
  options: CallOptions | undefined,
): Promise<string | undefined> {
  // The key is of the call that makes the link.
  const { idempotencyKey: _, ...kept } = options ?? {};
  const given = () => ({ input: { userId, connectorId, limit: 100 }, options: kept, userId });
  const { items } = await routeList<Credential>(transport, name, contract.credentials.list, given);
  return items.find(
    ({ authenticationType, status, shared }) =>
      authenticationType === 'oauth2' && !shared && (status === 'pending' || status === 'reauth_required'),
  )?.credentialId;
}

function linkOf(transport: Transport, userId: string, connector: string, made: Credential): AccountLink {
  const { credentialId, oauthUrl: connectUrl, expiresAt = '' } = made;
  if (typeof connectUrl !== 'string') {
    throw new ResponseError({ message: 'The answer has no link', operation: name, executed: 'yes' });
  }
  const link = { connectUrl, credentialId, expiresAt };
  // By the server's own clock: the time that it gave, counted from here.
  const lifeMs = Date.parse(expiresAt) - Date.parse(made.updatedAt);
  const endsAt = performance.now() + (lifeMs > 0 && lifeMs < 2 * defaultLifeMs ? lifeMs : defaultLifeMs);
  const wait: AccountLink['wait'] = ({ signal } = {}) =>
    waitFor(transport, { userId, connector, made, endsAt, signal, connectUrl, expiresAt });
  Object.defineProperty(link, 'wait', { value: wait, enumerable: false });
  return maskOneTime(link, ['connectUrl']) as AccountLink;
}

interface Waiting {
  userId: string;
  connector: string;
  made: Credential;
  endsAt: number;
  signal: AbortSignal | undefined;
  connectUrl: string;
  expiresAt: string;
}

/** A credential that was good before is connected when it has changed since. */
const isConnected = (now: Credential, made: Credential): boolean =>
  (now.status === 'valid' || now.status === 'expiring') &&
  (made.status === 'pending' || made.status === 'reauth_required' || now.updatedAt !== made.updatedAt);

async function waitFor(transport: Transport, waiting: Waiting): Promise<Credential> {
  const { userId, connector, made, endsAt, signal, connectUrl, expiresAt } = waiting;
  const { credentialId } = made;
  const given = () => ({ ids: { credentialId }, options: signal && { signal }, userId });
  const context = { operation: `${name}.wait`, userId, attempts: 0, changes: false, secrets: [] };
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 1.5, longestPauseMs)) {
    const end = await routeCall(
      transport,
      context.operation,
      contract.credentials.get,
      given,
      (reply) => reply as Credential,
    ).safe();
    if (end.ok && isConnected(end.data, made)) return end.data;
    // A gateway that is away for a moment ends no sign-in.
    if (!end.ok && !(end.error instanceof ValetError && end.error.retryable)) throw end.error;
    if (performance.now() >= endsAt + graceMs) {
      throw new CredentialRequiredError({
        code: 'CONNECT_LINK_EXPIRED',
        message: 'The link ended before the account was connected',
        hint: 'Make a new one with connectAccount',
        operation: context.operation,
        userId,
        connector,
        connectUrl,
        expiresAt,
        reason: made.status === 'reauth_required' ? 'reauth_required' : 'missing',
      });
    }
    const ending = await transport.sleep(pauseMs, signal);
    if (ending === 'closed') throw transport.closedError();
    if (ending === 'aborted') throw aborted({ signal, context, idempotencyKey: undefined }, false);
  }
}
