// The only file that knows the order of a call. It reads like the list of the architecture page:
//   effective user -> permit -> decide -> the account's own limits -> claim and intent -> open the secret -> forward -> outcome.
// Guarantee: nothing is opened before the decision, nothing is sent before the intent is committed, nothing is executed twice under one
// idempotency key, and every intent gets an outcome. A tool never fetches a secret: it is handed an upstream that was opened for it.
import { headers } from '@mcp-valet/shared';
import { takeBudget } from '../api-keys/budget.ts';
import { redactText } from '../audit/redact.ts';
import { claimAddress } from '../calls/epoch.ts';
import { UpstreamFailure } from '../connectors/backend.ts';
import { openUpstream } from '../connectors/forward.ts';
import type { CredentialChoice } from '../credentials/resolve.ts';
import type { CallIntent, CallOutcome, ClaimPlace } from '../db/hot-path.ts';
import type { CredentialRecord } from '../identity/records.ts';
import { newId } from '../ids.ts';
import { type CallPermit, limitHeaders, refusedHeaders } from '../rate-limits/take.ts';
import { Refusal } from '../refusal.ts';
import { type Answer, answerOfFailure } from './answer.ts';
import { forbidden, resolveCaller } from './caller.ts';
import { chooseCredential } from './catalog.ts';
import { startClock } from './clock.ts';
import { isForWantOfCredential, offerConnect, waitForCredential } from './connect.ts';
import { canonicalJson } from './jsonrpc.ts';
import { type Judgement, judge, type Toll } from './judge.ts';
import { takePermit, takeRules } from './permits.ts';
import { claimEnd, replay } from './replay.ts';
import { type CallRequest, onBehalf, type UserCall } from './request.ts';
import { enterCall } from './running.ts';
import type { Step } from './step.ts';
import { noteEvent, noteOverride } from './trail.ts';
import { type CallWatch, watchCall } from './watch.ts';

export type { Step } from './step.ts';

/** One call of the effective user. `plan` finds the step once the user is known; it may throw RpcError or Refusal. */
export async function runCall(
  request: CallRequest,
  plan: (call: UserCall) => Promise<Step>,
): Promise<{ call: UserCall; answer: Answer }> {
  const seen = watchCall(request);
  try {
    const done = await decideAndRun(request, plan, seen);
    seen.answered(done.answer);
    return done;
  } catch (error) {
    seen.threw(error);
    throw error;
  }
}

async function decideAndRun(
  request: CallRequest,
  plan: (call: UserCall) => Promise<Step>,
  seen: CallWatch,
): Promise<{ call: UserCall; answer: Answer }> {
  const place: { leave?: () => void; leaveConnector?: () => void; permit?: CallPermit } = {};
  const toll: Toll = {
    caller: (caller) => resolveCaller(caller, true),
    async permit(call) {
      place.permit = await takePermit(call);
      try {
        place.leave = call.parts.limits.enter(call.principal.accountId, call.user.record.id);
      } catch (error) {
        if (error instanceof Refusal) Object.assign(call.replyHeaders, refusedHeaders(error));
        noteOverride(call, error);
        throw error;
      }
      Object.assign(call.replyHeaders, limitHeaders(place.permit));
    },
    async rules(call, step) {
      if (place.permit === undefined) throw new Error('a permit is taken before rules are counted');
      if (step.target !== null) {
        const { accountId, id } = step.target.connector;
        place.leaveConnector = call.parts.limits.enterConnector(accountId, id);
      }
      const tightest = await takeRules(call, step.target, place.permit);
      Object.assign(call.replyHeaders, limitHeaders(tightest, place.permit));
    },
    credential: pickCredential,
  };
  const planned = async (call: UserCall): Promise<Step> => {
    try {
      return await plan(call);
    } catch (error) {
      // No row of the journal will tell of whom it was meant to act for.
      noteOverride(call, error);
      throw error;
    }
  };
  try {
    const judgement = await seen.deciding(() => judge(request, planned, toll));
    const { call, step, denial } = judgement;
    seen.step(step);
    if (denial !== null) {
      const refused = forbidden(denial);
      await recordRefused(call, step, refused);
      // Whoever lacks only a scope or a claim is told which: that is something to act on.
      const isHidden = denial.by.layer !== 'requirement' && denial.reason !== 'scope_missing';
      throw (isHidden ? step.hiddenAs?.() : undefined) ?? refused;
    }
    return { call, answer: step.isLocalRead ? await runLocal(call, step) : await runJournaled(judgement, seen) };
  } finally {
    place.leave?.();
    place.leaveConnector?.();
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
  return credential.status === 'reauth_required'
    ? { kind: 'reauth', credential }
    : { kind: 'use', credential, by: choice.by };
}

function intentOf(call: UserCall, step: Step, leaseMs: number): CallIntent {
  const { principal, user, server, parts } = call;
  return {
    id: newId('call'),
    accountId: principal.accountId,
    userId: user.record.id,
    actorKeyId: principal.keyId,
    actorKind: principal.kind,
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

async function runJournaled({ call, step, choice, credential }: Judgement, seen: CallWatch): Promise<Answer> {
  const { parts, idempotencyKey } = call;
  const intent = intentOf(call, step, step.timeoutMs + 10_000);
  // Not the lane: a repetition may come another way, with a progress token or in a session, and is the same call all the same.
  const scope = call.server?.id ?? (call.lane === 'rest' ? 'rest' : 'mcp');
  const place: ClaimPlace | undefined =
    idempotencyKey === undefined ? undefined : { user: call.user.record.id, scope, key: idempotencyKey };
  if (credential !== null && !(credential instanceof Refusal)) intent.credentialId = credential.id;
  if (place !== undefined) {
    const fingerprint = parts.keyring.digest(
      'call',
      step.label,
      canonicalJson(step.input),
      step.target?.connector.id ?? '',
    );
    intent.claim = { ...place, fingerprint };
    await parts.epoch.refuseForeign(call.header(headers.idempotencyEpoch), () => claimAddress(intent.accountId, place));
  }
  const standing = await parts.journal.begin(intent);
  if (standing !== undefined) {
    noteOverride(call);
    return replay(call, place, standing);
  }

  const running = enterCall(parts.live, call);
  const clock = startClock(step.timeoutMs, running.signal);
  let answer: Answer | undefined;
  try {
    if (credential instanceof Refusal) throw credential;
    await takeBudget(parts, call.principal);
    answer = await runStep(call, step, credential, clock.signal);
  } catch (error) {
    const failure = running.ended() ?? error;
    answer = await connectable(call, step, choice, answerOfFailure(failure, call, step.target?.connector.id, clock));
  } finally {
    clock.stop();
    seen.waited(clock.upstreamMs);
    running.leave();
    const settled = answer ?? answerOfFailure(undefined, call, step.target?.connector.id, clock);
    await parts.journal.end({
      id: intent.id,
      accountId: intent.accountId,
      ...settled.outcome,
      latencyMs: clock.elapsedMs(),
      ...(place && { claim: await claimEnd(call, place, credential, settled) }),
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
  const { parts, session } = call;
  const attempt = async (used: CredentialRecord | null): Promise<Answer> =>
    step.run(await openUpstream(parts.vault, target.connector, onBehalf(call), used, session), signal, call);
  try {
    return await attempt(credential);
  } catch (error) {
    // The upstream refused the token before anything ran: renewed once, sent once more, inside the same deadline and row.
    const isRefused = error instanceof UpstreamFailure && error.kind === 'unauthorized';
    if (!isRefused || credential?.type !== 'oauth2') throw error;
    return attempt(await parts.refresher.refreshNow(credential, target.connector, signal));
  }
}

/** A refusal for want of a credential comes with the link that ends the want. */
async function connectable(call: UserCall, step: Step, choice: CredentialChoice, answer: Answer): Promise<Answer> {
  if (step.target === null || !isForWantOfCredential(answer.error)) return answer;
  const credential = choice.kind === 'none' ? undefined : choice.credential;
  return offerConnect(call, answer.error, step.target.connector, credential, step.dialog);
}
