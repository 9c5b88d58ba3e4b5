// POST /api/explain: what a call would come to now, and why. Judged by the very function that judges real calls; here are only the toll that
// looks without taking, and the words. Executes nothing, counts nothing, opens no secret, writes no row and asks no upstream.
import type { Contract, Explanation } from '@mcp-valet/shared';
import { budgetSpent } from '../api-keys/budget.ts';
import { openUpstream } from '../connectors/forward.ts';
import { injectArguments, injectHeaders, injectQuery } from '../connectors/inject.ts';
import type { Ctx, Handler } from '../context.ts';
import { currentStatus } from '../credentials/oauth/status.ts';
import type { Vault } from '../credentials/vault.ts';
import { onList } from '../identity/effective-user.ts';
import type { Principal } from '../identity/principal.ts';
import type { CredentialRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { decideStepwise, type RuleRef } from '../restrictions/decide.ts';
import { actionNotFound, getConnector } from './actions.ts';
import { answerOfFailure } from './answer.ts';
import { admission, findCaller, forbidden, rulesOf, targetOf } from './caller.ts';
import { chooseCredential } from './catalog.ts';
import { startClock } from './clock.ts';
import { type Asker, askerOf, findNamedKey, type NamedKey, type Question } from './explain-caller.ts';
import { assertMayDraft, withDraft } from './explain-draft.ts';
import { findServer } from './find-server.ts';
import { type Judgement, judge, type Toll } from './judge.ts';
import { factsOf, serverLimitOf } from './permits.ts';
import { type CallRequest, onBehalf, type UserCall } from './request.ts';
import type { Step } from './step.ts';

type Deciding = { layer: RuleRef['layer'] | 'caller' | 'limit' | 'connector' | 'credential' | 'arguments' } & Omit<
  RuleRef,
  'layer'
>;
const at = (layer: Deciding['layer'], id: string | null = null, rule: string | null = null): Deciding => ({
  layer,
  id,
  rule,
});

/** What is known so far, and which layer is being asked. */
interface Inquiry {
  asked: Deciding;
  request?: CallRequest;
  call?: UserCall;
  step?: Step;
  judgement?: Judgement;
  limits: Explanation['limits'];
  steps: Explanation['steps'];
}

function agree(inquiry: Inquiry, layer: Deciding, detail: string): void {
  inquiry.asked = layer;
  inquiry.steps.push({ layer: layer.layer, allowed: true, detail });
}

/** Looks at limits and credentials without touching them. `asking`: who wants to know. */
function lookingToll(inquiry: Inquiry, asking: Principal): Toll {
  const isGeneral = (policy: string): boolean => policy === 'user' || policy === 'server';
  /** As a real call meets them: the general ones first, an account's own when it is known what the call touches. */
  const look = async (call: UserCall, target: Step['target'], fits: (policy: string) => boolean): Promise<void> => {
    inquiry.asked = at('limit');
    inquiry.limits = await call.parts.limits.peekAll(factsOf(call, target), serverLimitOf(call));
    const full = inquiry.limits.find(({ policy, remaining }) => remaining < 1 && fits(policy));
    if (full === undefined) return;
    const isOwn = isGeneral(full.policy);
    inquiry.asked = at('limit', isOwn ? (call.server?.id ?? null) : full.policy, full.policy);
    const policy = isOwn ? 'user' : full.policy;
    throw new Refusal('RATE_LIMITED', 'Rate limit exceeded', { reason: `rate_limit:${policy}`, details: { policy } });
  };
  return {
    async caller(request) {
      const call = await findCaller(request);
      // Whoever the question speaks as: a key that is kept to some users is told of no others.
      onList(call.user.record, asking);
      inquiry.call = call;
      const { record, fallback } = call.user;
      agree(inquiry, at('caller', call.principal.keyId), `Runs as ${record.username}${fallback ? ' (fallback)' : ''}`);
      const decision = admission(call);
      if (decision.allowed) return call;
      inquiry.asked = decision.by;
      throw forbidden(decision);
    },
    async permit(call) {
      try {
        await call.parts.limits.checkRules(factsOf(call));
      } catch (error) {
        const policy = error instanceof Refusal ? error.details?.['policy'] : undefined;
        if (typeof policy === 'string') inquiry.asked = at('limit', policy, policy);
        throw error;
      }
      await look(call, null, isGeneral);
    },
    async rules(call, step) {
      told(inquiry, call, step);
      await look(call, step.target, () => true);
    },
    async credential(call, step) {
      inquiry.asked = at('credential');
      if (step.target === null || step.credential.use === 'none') return { kind: 'none' };
      return chooseCredential(call, step.target.connector, step.credential.argument);
    },
  };
}

/** The call that is asked about, as the direct tool call would plan it. */
function planOf(question: Question, inquiry: Inquiry): (call: UserCall) => Promise<Step> {
  const { connectorId, action, credentialId } = question;
  return async (call) => {
    agree(inquiry, at('limit'), 'Within the limits of the user and of the endpoint');
    inquiry.asked = at('connector', connectorId);
    const connector = await getConnector(call, connectorId);
    const step: Step = {
      label: action,
      target: { connector, action },
      input: null,
      credential: { use: 'choose', argument: credentialId },
      isLocalRead: false,
      timeoutMs: 0,
      run: () => Promise.reject(new Error('a question executes nothing')),
    };
    inquiry.step = step;
    return step;
  };
}

/** Gives a placeholder for every secret that there is: what is built with it leaves nothing and is thrown away. */
const placeholders: Pick<Vault, 'open'> = {
  open: async (_place, secrets) => new Map(secrets.map(({ name }) => [name, 'placeholder'])),
};

/** What the call would be refused with while it is being built: an unknown action, arguments that do not fit, a secret that is missing. */
async function checkArguments(
  call: UserCall,
  step: Step,
  credential: CredentialRecord | null,
  args: Question['arguments'],
) {
  const { target } = step;
  if (target?.action === undefined) return;
  const { connector, action } = target;
  const { carriers } = call.parts;
  const upstream = await openUpstream(placeholders, connector, onBehalf(call), credential, undefined);
  const listed = carriers.peekList('tools', upstream.key);
  if (listed !== undefined && !listed.items.some((item) => item['name'] === action)) throw actionNotFound();
  const { inject } = connector;
  const sent = injectArguments(args ?? {}, inject ?? {}, upstream.secrets, upstream.user, new Set());
  injectHeaders(inject, upstream.secrets, upstream.user);
  injectQuery('http://placeholder.invalid/', inject, upstream.secrets, upstream.user);
  await carriers.check(upstream, action, sent);
}

async function ask(ctx: Ctx, question: Question, key: NamedKey | undefined, inquiry: Inquiry): Promise<void> {
  const asker = await askerOf(ctx, question, key);
  const { principal } = asker;
  inquiry.asked = at('server', question.serverId ?? null);
  const server = withDraft(await findServer(ctx.parts, principal, question.serverId, undefined), question);
  if (server === null && principal.serverId !== null)
    throw new Refusal('UNAUTHORIZED', 'Missing or invalid credential', { reason: 'token_in_wrong_place' });
  const request: CallRequest = {
    parts: ctx.parts,
    principal,
    server,
    sources: { header: asker.named },
    strict: false,
    credentialHeader: undefined,
    idempotencyKey: undefined,
    requestId: ctx.requestId,
    address: '',
    era: 'legacy',
    lane: server === null ? 'rest' : 'direct',
    header: () => undefined,
    signal: null,
    replyHeaders: {},
  };
  inquiry.asked = at('caller', principal.keyId);
  const judgement = await judge(request, planOf(question, inquiry), lookingToll(inquiry, ctx.principal));
  inquiry.judgement = judgement;
  const { call, step, denial, credential } = judgement;
  if (denial !== null) {
    told(inquiry, call, step);
    inquiry.asked = denial.by;
    throw forbidden(denial);
  }
  inquiry.asked = at('credential', credential instanceof Refusal ? null : (credential?.id ?? null));
  if (credential instanceof Refusal) throw credential;
  agree(inquiry, inquiry.asked, credential === null ? 'None is needed' : `Signs in with ${credential.id}`);
  checkBudget(inquiry, asker);
  inquiry.asked = at('arguments');
  await checkArguments(call, step, credential, question.arguments);
  agree(inquiry, at('arguments'), 'Nothing is wrong with them as far as the gateway looks');
}

function checkBudget(inquiry: Inquiry, { principal, callsUsed }: Asker): void {
  const maxCalls = principal.delegation?.maxCalls ?? null;
  if (maxCalls === null) return;
  inquiry.asked = at('key', principal.keyId, 'maxCalls');
  if (callsUsed >= maxCalls) throw budgetSpent(maxCalls);
}

/** The layers of the decision, one by one. */
function told(inquiry: Inquiry, call: UserCall, step: Step): void {
  if (step.target === null) return;
  const { connector, action } = step.target;
  for (const { layer, id, decision } of decideStepwise(rulesOf(call), targetOf(connector, action))) {
    if (decision.allowed) agree(inquiry, at(layer, id), 'Agrees');
  }
}

/** What was thrown on the way, as the refusal that the real call would answer. Anything else is a defect and stays one. */
function refusalOf(error: unknown, { call }: Inquiry, connectorId: string): Refusal {
  if (error instanceof Refusal) return error;
  if (call === undefined) throw error;
  const clock = startClock(1000, null);
  try {
    const answer = answerOfFailure(error, call, connectorId, clock);
    if (answer.error instanceof Refusal && answer.error.code !== 'INTERNAL_ERROR') return answer.error;
  } finally {
    clock.stop();
  }
  throw error;
}

function credentialOf({ judgement }: Inquiry): Explanation['credential'] {
  const choice = judgement?.choice;
  if (choice?.kind !== 'use') return null;
  const { credential, by } = choice;
  const names = credential.secrets.map(({ name }) => name);
  return {
    credentialId: credential.id,
    chosenBy: by,
    ownerUserId: credential.userId,
    status: currentStatus(credential, names),
  };
}

async function answer(ctx: Ctx, question: Question, key?: NamedKey): Promise<Explanation> {
  const inquiry: Inquiry = { asked: at('caller'), limits: [], steps: [] };
  let refusal: Refusal | undefined;
  try {
    await ask(ctx, question, key, inquiry);
  } catch (error) {
    refusal = refusalOf(error, inquiry, question.connectorId);
    inquiry.steps.push({ layer: inquiry.asked.layer, allowed: false, detail: refusal.message });
  }
  const { call, step, asked, limits, steps } = inquiry;
  const missing = refusal?.code === 'INSUFFICIENT_SCOPE' ? refusal.details?.['missing'] : undefined;
  return {
    outcome: refusal === undefined ? 'execute' : 'refuse',
    code: refusal?.code ?? null,
    message: refusal?.message ?? null,
    reason: refusal?.reason ?? null,
    userId: call?.user.record.id ?? null,
    username: call?.user.record.username ?? null,
    serverId: call?.server?.id ?? null,
    connectorId: step?.target?.connector.id ?? null,
    action: question.action,
    decidedBy: asked,
    steps,
    credential: credentialOf(inquiry),
    limits,
    missingScopes: Array.isArray(missing) ? (missing as string[]) : [],
    isDraft: question.draft !== undefined,
  };
}

const explain: Handler<Contract['policy']['explain']> = async ({ body }, ctx) => {
  await assertMayDraft(ctx, body);
  return answer(ctx, body, body.keyId === undefined ? undefined : await findNamedKey(ctx, body.keyId));
};

const explainMany: Handler<Contract['policy']['explainMany']> = async ({ body }, ctx) => {
  await assertMayDraft(ctx, body);
  const { questions, ...place } = body;
  const explanations: Explanation[] = [];
  // One after the other: whoever asks much at once must not stand in the way of those who call.
  for (const question of questions) explanations.push(await answer(ctx, { ...place, ...question }));
  return { explanations };
};

export const explainHandlers = { explain, explainMany } satisfies {
  [M in keyof Contract['policy']]: Handler<Contract['policy'][M]>;
};
