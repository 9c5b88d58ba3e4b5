// Connect and resume: what a call that lacks a credential is answered with, in each era and plane, and the wait of a call that was repeated
// while its user signs in. One place, so that every surface gives out the same link. Opens no secret and decides nothing.
import type { GatewayErrorData } from '@mcp-valet/shared';
import { openConnect } from '../credentials/oauth/connect.ts';
import type { ConnectorRecord, CredentialRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { type Answer, ofRefusal } from './answer.ts';
import { chooseCredential } from './catalog.ts';
import { isObject, RpcError } from './jsonrpc.ts';
import type { UserCall } from './request.ts';
import { errorData } from './result.ts';

const waitMs = 20_000;
const lookEveryMs = 500;

/** The key of our question among `inputRequests`, and of its answer. */
const question = 'mcp-valet/connect';

/** How this call can carry a question to the user of a modern client, and what came back of an earlier one. */
export interface ConnectDialog {
  clientCapabilities: Record<string, unknown>;
  sealState(state: string): string;
  /** What the client answered to our own question; undefined: it was not asked. */
  reply?: { action: unknown } | undefined;
}

type Link = NonNullable<GatewayErrorData['connect']>;

export const isForWantOfCredential = (error: unknown): error is Refusal =>
  error instanceof Refusal && (error.code === 'CREDENTIALS_REQUIRED' || error.code === 'REAUTH_REQUIRED');

async function linkOf(
  call: UserCall,
  connector: ConnectorRecord,
  credential: CredentialRecord | undefined,
): Promise<Link | undefined> {
  const { parts, principal, user } = call;
  // Somebody else's shared credential is not this user's to renew.
  const own = credential?.userId === user.record.id ? credential.id : undefined;
  if (credential !== undefined && own === undefined) return undefined;
  try {
    const opened = await openConnect(parts, {
      accountId: principal.accountId,
      userId: user.record.id,
      connectorId: connector.id,
      credentialId: own,
      actor: { keyId: principal.keyId, kind: principal.kind, userId: principal.userId },
      requestId: call.requestId,
      address: call.address,
    });
    if (opened === undefined) return undefined;
    return {
      url: opened.url,
      connector: connector.id,
      credentialId: opened.credentialId,
      expiresAt: opened.expiresAt.toISOString(),
    };
  } catch (error) {
    // The refusal stands without its link; why there is none is for the operator.
    parts.log.error(
      { requestId: call.requestId, name: error instanceof Error ? error.name : typeof error },
      'connect_link_failed',
    );
    return undefined;
  }
}

/** The refusal with a link to act on, in the form that this caller can use. */
export async function offerConnect(
  call: UserCall,
  refusal: Refusal,
  connector: ConnectorRecord,
  credential: CredentialRecord | undefined,
  dialog: ConnectDialog | undefined,
): Promise<Answer> {
  if (dialog?.reply !== undefined && dialog.reply.action !== 'accept') {
    return ofRefusal(new Refusal(refusal.code, `${refusal.message}. The user did not connect an account.`, refusal));
  }
  const link = await linkOf(call, connector, credential);
  if (link === undefined) return ofRefusal(refusal);
  const { code, message, reason, executed } = refusal;
  const details = { ...refusal.details, connectUrl: link.url, connect: link };
  const linked = new Refusal(code, message, { reason, executed, word: refusal.word, details });
  const answer = ofRefusal(linked);
  const ask = `Sign in to ${connector.name} to go on`;
  if (call.era === 'modern') {
    if (dialog === undefined || !showsPages(dialog.clientCapabilities)) return answer;
    const result = {
      inputRequests: {
        [question]: { method: 'elicitation/create', params: { mode: 'url', message: ask, url: link.url } },
      },
      requestState: dialog.sealState(connector.id),
    };
    return { ...answer, result, error: null, inputRequired: true };
  }
  if (!showsPages(call.session?.capabilities ?? {})) return answer;
  const elicitation = { mode: 'url', elicitationId: elicitationIdOf(link.url), url: link.url, message: ask };
  const data = { ...errorData(linked, call.requestId), elicitations: [elicitation] };
  return { ...answer, error: new RpcError(-32042, message, { data }) };
}

function showsPages(capabilities: Record<string, unknown>): boolean {
  const elicitation = capabilities['elicitation'];
  return isObject(elicitation) && Object.hasOwn(elicitation, 'url');
}

/** Names the question, not the link: whoever reads it can open nothing. */
const elicitationIdOf = (url: string): string => `connect-${url.slice(-8)}`;

/** The client's answer to our question, out of a retried request. */
export function replyOf(inputResponses: unknown): { action: unknown } {
  const reply = isObject(inputResponses) ? inputResponses[question] : undefined;
  return { action: isObject(reply) ? reply['action'] : undefined };
}

/** A client that says "accepted" has opened the page; the sign-in takes its time. Ends when the credential is there, or after 20 s. */
export async function waitForCredential(call: UserCall, connector: ConnectorRecord, argument?: string): Promise<void> {
  const until = Date.now() + waitMs;
  for (;;) {
    const { kind } = await chooseCredential(call, connector, argument);
    if (kind === 'use' || kind === 'none' || Date.now() >= until || call.signal?.aborted === true) return;
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}
