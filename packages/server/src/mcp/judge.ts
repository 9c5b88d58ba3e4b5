// What a call comes to before anything is executed: who calls, whether there is room for it, what is touched, what the rules say, and which
// credential signs in. One function for real calls and for `explain`: they differ in the toll only. Opens nothing, sends nothing, writes nothing.
import type { CredentialChoice } from '../credentials/resolve.ts';
import type { ConnectorRecord, CredentialRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import type { Decision, Denial } from '../restrictions/decide.ts';
import { noCredentials } from './actions.ts';
import { decideOn, rulesOf } from './caller.ts';
import type { CallRequest, UserCall } from './request.ts';
import type { Step } from './step.ts';

/** What judging costs: a real call takes permits and leaves its traces, a question looks only. */
export interface Toll {
  /** The effective user, admitted to the endpoint. Throws Refusal. */
  caller(request: CallRequest): Promise<UserCall>;
  /** One permit of the user. Throws Refusal. */
  permit(call: UserCall): Promise<void>;
  /** The account's own limits, once it is known what the call touches. Throws Refusal. */
  rules(call: UserCall, step: Step): Promise<void>;
  /** The credential that would sign in. */
  credential(call: UserCall, step: Step): Promise<CredentialChoice>;
}

export interface Judgement {
  call: UserCall;
  step: Step;
  /** Why the rules refuse it; null: they do not. */
  denial: Denial | null;
  choice: CredentialChoice;
  /** What signs in, null when nothing needs to, or why there is none. */
  credential: CredentialRecord | Refusal | null;
}

/** `plan` finds the step once the user is known; it may throw RpcError or Refusal. */
export async function judge(
  request: CallRequest,
  plan: (call: UserCall) => Promise<Step>,
  toll: Toll,
): Promise<Judgement> {
  const call = await toll.caller(request);
  await toll.permit(call);
  const step = await plan(call);
  const decision = decideStep(call, step);
  if (!decision.allowed) return { call, step, denial: decision, choice: { kind: 'none' }, credential: null };
  await toll.rules(call, step);
  const choice = await toll.credential(call, step);
  return { call, step, denial: null, choice, credential: usable(call, step, choice) };
}

const decideStep = (call: UserCall, { target }: Step): Decision =>
  target === null ? { allowed: true } : decideOn(rulesOf(call), target.connector, target.action);

const reauth = (call: UserCall, connector: ConnectorRecord): Refusal =>
  new Refusal(
    'REAUTH_REQUIRED',
    `The credentials of ${call.user.record.username} for connector ${connector.id} are no longer accepted`,
    { reason: 'credential_dead' },
  );

/** The credential, null when none is needed, or why there is none. */
function usable(call: UserCall, step: Step, choice: CredentialChoice): CredentialRecord | Refusal | null {
  if (choice.kind === 'use') return choice.credential;
  if (step.target === null || choice.kind === 'none') return null;
  return choice.kind === 'missing' ? noCredentials(call, step.target.connector) : reauth(call, step.target.connector);
}
