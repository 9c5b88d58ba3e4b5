// The only file that knows the order of a call. It reads like the list of the architecture page:
//   effective user -> permit -> decide -> claim and intent -> open the secret -> forward -> outcome.
// Guarantee: nothing is opened before the decision, nothing is sent before the intent is committed, nothing is executed twice under one
// idempotency key, and every intent gets an outcome. A tool never fetches a secret: it is handed an upstream that was opened for it.
import { metaKeys } from '@mcp-valet/shared';
import { redactText } from '../audit/redact.ts';
import { type Upstream, UpstreamFailure } from '../connectors/backend.ts';
import { openUpstream } from '../connectors/forward.ts';
import { findDataKey } from '../credentials/find-data-key.ts';
import type { CredentialChoice } from '../credentials/resolve.ts';
import type { CallIntent, CallOutcome, ClaimPlace, StandingClaim } from '../db/hot-path.ts';
import type { ConnectorRecord, CredentialRecord } from '../identity/records.ts';
import { newId } from '../ids.ts';
import { limitHeaders, type Permit } from '../rate-limits/take.ts';
import { Refusal } from '../refusal.ts';
import { decide } from '../restrictions/decide.ts';
import { type Answer, answerOfFailure, decodeAnswer, encodeAnswer } from './answer.ts';
import { resolveCaller, rulesOf } from './caller.ts';
import { chooseCredential } from './catalog.ts';
import { startClock } from './clock.ts';
import { type ConnectDialog, isForWantOfCredential, offerConnect, waitForCredential } from './connect.ts';
import { canonicalJson, type RpcError } from './jsonrpc.ts';
import type { CallRequest, UserCall } from './request.ts';
import { noteEvent } from './trail.ts';

/** What a tool, prompt or resource says about one call of it before anything happens. */
export interface Step {
  /** For the journal: the tool's name, or the method and name. */
  label: string;
  /** What it touches; null for meta tools that touch no connector. */
  target: { connector: ConnectorRecord; action?: string } | null;
  /** Where what is hidden must look like what does not exist: made and thrown instead of the refusal. The trail hears the refusal all the same. */
  hiddenAs?: (() => RpcError) | undefined;
  /** What the caller sent: digested, never stored. */
  input: unknown;
  /** Whose credential it needs; `none` for steps that send nothing. */
  credential: { use: 'none' } | { use: 'choose'; argument?: string | undefined };
  /** Reads only our own data: one complete row instead of intent and outcome. */
  isLocalRead: boolean;
  timeoutMs: number;
  /** How the user can be asked to connect an account, where the caller's era has a way. */
  dialog?: ConnectDialog | undefined;
  run(upstream: Upstream | null, signal: AbortSignal, call: UserCall): Promise<Answer>;
}

const noCredentials = (call: UserCall, connector: ConnectorRecord): Refusal =>
  new Refusal(
    'CREDENTIALS_REQUIRED',
    `No credentials found for ${call.user.record.username} on connector ${connector.id}`,
    {
      reason: 'credential_missing',
    },
  );
const reauth = (call: UserCall, connector: ConnectorRecord): Refusal =>
  new Refusal(
    'REAUTH_REQUIRED',
    `The credentials of ${call.user.record.username} for connector ${connector.id} are no longer accepted`,
    {
      reason: 'credential_dead',
    },
  );

/** One call of the effective user. `plan` finds the step once the user is known; it may throw RpcError or Refusal. */
export async function runCall(
  request: CallRequest,
  plan: (call: UserCall) => Promise<Step>,
): Promise<{ call: UserCall; answer: Answer }> {
  const call = await resolveCaller(request, true);
  const permit = await takePermit(call);
  const leave = call.parts.limits.enter(call.principal.accountId, call.user.record.id);
  try {
    Object.assign(call.replyHeaders, limitHeaders(permit));
    const step = await plan(call);
    const refused = decideStep(call, step);
    if (refused !== undefined) {
      await recordRefused(call, step, refused);
      throw step.hiddenAs?.() ?? refused;
    }
    return { call, answer: step.isLocalRead ? await runLocal(call, step) : await runJournaled(call, step) };
  } finally {
    leave();
  }
}

async function takePermit(call: UserCall): Promise<Permit> {
  const { server, principal, user, parts } = call;
  const own = server?.rateLimit ? { serverId: server.id, ...server.rateLimit } : null;
  try {
    return await parts.limits.call(principal.accountId, user.record.id, own);
  } catch (error) {
    if (error instanceof Refusal) {
      noteEvent(call, { action: 'call.refuse', outcome: 'refused', userId: user.record.id, reason: error.reason });
    }
    throw error;
  }
}

function decideStep(call: UserCall, step: Step): Refusal | undefined {
  if (step.target === null) return undefined;
  const { connector, action } = step.target;
  const decision = decide(rulesOf(call), { connector: connector.id, action });
  return decision.allowed
    ? undefined
    : new Refusal('FORBIDDEN', decision.message, { reason: decision.reason, word: 'not_allowed' });
}

function intentOf(call: UserCall, step: Step, leaseMs: number): CallIntent {
  const { principal, user, server, parts } = call;
  return {
    id: newId('call'),
    accountId: principal.accountId,
    userId: user.record.id,
    actorKeyId: principal.keyId,
    attemptedUser: user.attempted ?? undefined,
    serverId: server?.id,
    connectorId: step.target?.connector.id,
    // The caller's own text until the tool is found: what looks like a token must not be kept.
    tool: redactText(step.target?.action ?? step.label),
    argsDigest: parts.keyring.digest('args', canonicalJson(step.input)),
    lane: call.lane,
    requestId: call.requestId,
    address: call.address,
    leaseMs,
  };
}

/** A refusal by policy: a complete row in the journal, and an event in the trail. */
async function recordRefused(call: UserCall, step: Step, refusal: Refusal): Promise<void> {
  const { parts, user } = call;
  const completed: CallOutcome = { outcome: 'refused', reason: refusal.reason, latencyMs: 0 };
  noteEvent(call, {
    action: 'call.refuse',
    outcome: 'refused',
    userId: user.record.id,
    attemptedUser: user.attempted ?? undefined,
    reason: refusal.reason,
    target: [step.target?.connector.id, step.target?.action].filter(Boolean).join('.'),
  });
  await parts.journal.begin({ ...intentOf(call, step, 0), completed });
}

async function runLocal(call: UserCall, step: Step): Promise<Answer> {
  const clock = startClock(step.timeoutMs, call.signal);
  let answer: Answer;
  try {
    answer = await step.run(null, clock.signal, call);
  } catch (error) {
    answer = answerOfFailure(error, call, step.target?.connector.id, clock);
  } finally {
    clock.stop();
  }
  await call.parts.journal.begin({
    ...intentOf(call, step, 0),
    completed: { ...answer.outcome, latencyMs: clock.elapsedMs() },
  });
  return answer;
}

async function runJournaled(call: UserCall, step: Step): Promise<Answer> {
  const { parts, idempotencyKey } = call;
  const intent = intentOf(call, step, step.timeoutMs + 10_000);
  // Not the lane: a repetition may come another way, with a progress token or in a session, and is the same call all the same.
  const scope = call.server?.id ?? (call.lane === 'rest' ? 'rest' : 'mcp');
  const place: ClaimPlace | undefined =
    idempotencyKey === undefined ? undefined : { user: call.user.record.id, scope, key: idempotencyKey };
  const choice = await pickCredential(call, step);
  const credential = usable(call, step, choice);
  if (credential !== null && !(credential instanceof Refusal)) intent.credentialId = credential.id;
  if (place !== undefined) {
    const fingerprint = parts.keyring.digest(
      'call',
      step.label,
      canonicalJson(step.input),
      step.target?.connector.id ?? '',
    );
    intent.claim = { ...place, fingerprint };
  }
  const standing = await parts.journal.begin(intent);
  if (standing !== undefined) return replay(call, place, standing);

  const clock = startClock(step.timeoutMs, call.signal);
  let answer: Answer | undefined;
  try {
    if (credential instanceof Refusal) throw credential;
    answer = await runStep(call, step, credential, clock.signal);
  } catch (error) {
    answer = await connectable(call, step, choice, answerOfFailure(error, call, step.target?.connector.id, clock));
  } finally {
    clock.stop();
    const settled = answer ?? answerOfFailure(undefined, call, step.target?.connector.id, clock);
    await parts.journal.end({
      id: intent.id,
      accountId: intent.accountId,
      ...settled.outcome,
      latencyMs: clock.elapsedMs(),
      ...(place && { claim: { ...place, ...claimEnd(settled, await sealed(call, place, credential, settled)) } }),
    });
  }
  return answer;
}

async function runStep(
  call: UserCall,
  step: Step,
  credential: CredentialRecord | null,
  signal: AbortSignal,
): Promise<Answer> {
  const { target } = step;
  if (target === null || step.credential.use === 'none') return step.run(null, signal, call);
  const { parts, session, user } = call;
  const attempt = async (used: CredentialRecord | null): Promise<Answer> =>
    step.run(await openUpstream(parts.vault, target.connector, user.record, used, session), signal, call);
  try {
    return await attempt(credential);
  } catch (error) {
    // The upstream refused the token before anything ran: renewed once, sent once more, inside the same deadline and row.
    const isRefused = error instanceof UpstreamFailure && error.kind === 'unauthorized';
    if (!isRefused || credential?.type !== 'oauth2') throw error;
    return attempt(await parts.refresher.refreshNow(credential, target.connector, signal));
  }
}

/** The credential that the call will use, its access token good for a while. Chosen before the intent, which names it. */
async function pickCredential(call: UserCall, step: Step): Promise<CredentialChoice> {
  if (step.target === null || step.credential.use === 'none') return { kind: 'none' };
  const { connector } = step.target;
  const { argument } = step.credential;
  if (step.dialog?.reply?.action === 'accept') await waitForCredential(call, connector, argument);
  const choice = await chooseCredential(call, connector, argument);
  if (choice.kind !== 'use' || choice.credential.type !== 'oauth2') return choice;
  const credential = await call.parts.refresher.ensureFresh(choice.credential, connector, call.signal);
  return { kind: credential.status === 'reauth_required' ? 'reauth' : 'use', credential };
}

/** The credential, null when none is needed, or why there is none. */
function usable(call: UserCall, step: Step, choice: CredentialChoice): CredentialRecord | Refusal | null {
  if (choice.kind === 'use') return choice.credential;
  if (step.target === null || choice.kind === 'none') return null;
  return choice.kind === 'missing' ? noCredentials(call, step.target.connector) : reauth(call, step.target.connector);
}

/** A refusal for want of a credential comes with the link that ends the want. */
async function connectable(call: UserCall, step: Step, choice: CredentialChoice, answer: Answer): Promise<Answer> {
  if (step.target === null || !isForWantOfCredential(answer.error)) return answer;
  const credential = choice.kind === 'none' ? undefined : choice.credential;
  return offerConnect(call, answer.error, step.target.connector, credential, step.dialog);
}

async function sealed(
  call: UserCall,
  place: ClaimPlace,
  credential: CredentialRecord | Refusal | null,
  answer: Answer,
): Promise<Uint8Array | undefined> {
  if (answer.keep !== 'done') return undefined;
  const bytes = encodeAnswer(answer);
  if (bytes === undefined) return undefined;
  const { accountId } = call.principal;
  // The data key of whoever owns the credential; an answer made with somebody's shared one is sealed for its own user, under the state key.
  const isOwn = credential !== null && !(credential instanceof Refusal) && credential.userId === place.user;
  const secret = isOwn ? credential.secrets[0] : undefined;
  const dataKey = secret && {
    id: secret.dataKeyId,
    accountId,
    userId: place.user,
    kekVersion: secret.kekVersion,
    wrapped: secret.wrappedDataKey,
  };
  return call.parts.vault.sealAnswer({ account: accountId, ...place }, bytes, dataKey);
}

function claimEnd(answer: Answer, bytes: Uint8Array | undefined) {
  // A missing credential is no outcome: the same key may be used again after connecting.
  if (answer.keep === 'released') return { state: 'released' as const };
  if (answer.keep === 'unknown') return { state: 'unknown' as const };
  return { state: 'done' as const, status: 200, answer: bytes };
}

async function replay(call: UserCall, place: ClaimPlace | undefined, standing: StandingClaim): Promise<Answer> {
  switch (standing.state) {
    case 'running':
      throw new Refusal('IDEMPOTENCY_IN_PROGRESS', 'The first call with this Idempotency-Key is still running', {
        retryAfterMs: 1000,
      });
    case 'mismatch':
      throw new Refusal('IDEMPOTENCY_MISMATCH', 'This Idempotency-Key was used for another call');
    case 'unknown':
      throw new Refusal(
        'OUTCOME_UNKNOWN',
        'Outcome unknown: the first call with this Idempotency-Key did not report back and is not repeated',
      );
    case 'done': {
      const account = call.principal.accountId;
      const bytes =
        standing.answer &&
        place &&
        (await call.parts.vault.openAnswer({ account, ...place }, standing.answer, (id) =>
          findDataKey(call.parts.db, account, place.user, id),
        ));
      if (bytes === undefined) {
        throw new Refusal(
          'ANSWER_NOT_KEPT',
          'The first call with this Idempotency-Key ran once; its answer was not kept',
        );
      }
      call.replyHeaders['idempotent-replayed'] = 'true';
      const answer = decodeAnswer(bytes);
      const meta = { ...(answer.result['_meta'] as Record<string, unknown> | undefined), [metaKeys.replayed]: true };
      return { ...answer, result: { ...answer.result, _meta: meta } };
    }
  }
}
