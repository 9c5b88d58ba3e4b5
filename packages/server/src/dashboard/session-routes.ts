// Sign-in, who is signed in, and sign-out of the dashboard. These routes set the cookie; `identity` is where it is believed.
//
// A sign-in here proves an API key and makes a session for it. Whoever signs in at an issuer comes by `oidc-routes` and gets the same session.
import { headers as names } from '@mcp-valet/shared';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod/mini';
import { recordEvent, sourceOf } from '../audit/record.ts';
import type { Parts } from '../context.ts';
import { type Db, withScope } from '../db/scope.ts';
import { installJsonParser } from '../http/read-request.ts';
import { asRefusal, replyError } from '../http/reply-error.ts';
import { identifySession, identifyToken, unauthorized } from '../identity/identify.ts';
import type { Principal } from '../identity/principal.ts';
import { assertOwnPage, sessionOf } from '../identity/session.ts';
import { limitHeaders } from '../rate-limits/take.ts';
import { Refusal } from '../refusal.ts';
import { dropSessionCookie, setSessionCookie } from './session-cookie.ts';
import { createSession, endSession } from './session-store.ts';

const body = z.strictObject({ apiKey: z.string().check(z.minLength(1), z.maxLength(512)) });
const bodyBytes = 4096;

export function sessionRoutes(parts: Parts) {
  return async (app: FastifyInstance): Promise<void> => {
    installJsonParser(app);
    app.setErrorHandler((error, request, reply) => replyError(error, request, reply, parts.log));
    const route = { exposeHeadRoute: false, bodyLimit: bodyBytes, config: { dialect: 'api' } } as const;
    app.addHook('onRequest', async (request, reply) => {
      void reply.header(names.requestId, request.id).header('cache-control', 'no-store');
    });
    app.post('/admin/session', route, (request, reply) => signIn(parts, request, reply));
    app.get('/admin/session', route, (request, reply) => tell(parts, request, reply));
    app.delete('/admin/session', route, (request, reply) => signOut(parts, request, reply));
  };
}

const shown = ({ keyId, kind, accountId, scopes, allowedUsers }: Principal, expiresAt: Date | null) => ({
  session: {
    keyId,
    kind,
    accountId,
    isNarrowed: scopes !== null || allowedUsers !== null,
    expiresAt: expiresAt?.toISOString() ?? null,
  },
});

async function signIn(parts: Parts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  // Another site must not sign this browser in as somebody else.
  assertOwnPage(request.headers, parts.config.publicUrl);
  void reply.headers(limitHeaders(await parts.limits.signIn(sourceOf(request.ip))));
  const principal = await prove(parts, request);
  const session = await inAccount(parts, principal, async (tx) => {
    const made = await createSession(tx, parts.keyring, principal);
    await recordEvent(tx, { ...eventOf(principal, request, 'session.create'), target: made.id });
    return made;
  });
  setSessionCookie(reply, session.text);
  return reply.code(201).send(shown(principal, session.expiresAt));
}

/** Whoever signs in, proven by an API key that may manage an account. */
async function prove(parts: Parts, request: FastifyRequest): Promise<Principal> {
  const parsed = body.safeParse(request.body);
  if (!parsed.success) throw new Refusal('INVALID_REQUEST', 'Send { "apiKey": "…" }');
  const heard = { address: request.ip, requestId: request.id };
  try {
    const principal = await identifyToken(parsed.data.apiKey.trim(), parts);
    if (principal.kind === 'adm' || principal.kind === 'ent') return principal;
    const { accountId, keyId, kind } = principal;
    throw new Refusal('FORBIDDEN', 'The dashboard needs an admin or an enterprise key', {
      reason: 'kind_not_allowed',
      by: { accountId, keyId, kind },
    });
  } catch (error) {
    const refusal = asRefusal(error);
    if (refusal !== undefined && (refusal.status === 401 || refusal.status === 403)) {
      await parts.trail.signInFailed({ ...heard, reason: refusal.reason, by: refusal.by });
    }
    throw error;
  }
}

/** Asked by the page when it opens: nobody being signed in is an answer, not an error. */
async function tell(parts: Parts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const principal = await current(parts, request);
  const { adminOidc } = parts.config;
  const session = principal === undefined ? { session: null } : shown(principal, principal.expiresAt);
  return reply.send({ ...session, ...(adminOidc && { issuer: new URL(adminOidc.issuer).host }) });
}

async function signOut(parts: Parts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const principal = await current(parts, request);
  const sessionId = principal?.sessionId;
  if (principal !== undefined && sessionId !== undefined) {
    await inAccount(parts, principal, async (tx) => {
      await endSession(tx, principal.accountId, sessionId);
      await recordEvent(tx, { ...eventOf(principal, request, 'session.end'), target: sessionId });
      await parts.db.changes.publish(tx, `key:${sessionId}`);
    });
  }
  dropSessionCookie(reply);
  return reply.send({ session: null });
}

/** Who is signed in with the cookie of this request; undefined when it is over or there is none. */
async function current(parts: Parts, request: FastifyRequest): Promise<Principal | undefined> {
  assertOwnPage(request.headers, parts.config.publicUrl);
  try {
    const text = sessionOf(request.headers, parts.config.publicUrl);
    if (text === undefined) throw unauthorized('no_credential');
    return await identifySession(text, parts);
  } catch (error) {
    const status = asRefusal(error)?.status;
    if (status === 401 || status === 403) return undefined;
    throw error;
  }
}

const inAccount = <T>(parts: Parts, { accountId }: Principal, fn: (tx: Db) => Promise<T>): Promise<T> =>
  withScope(parts.db, { account: accountId, user: '*' }, fn);

const eventOf = ({ accountId, keyId, kind, userId }: Principal, request: FastifyRequest, action: string) => ({
  accountId,
  actor: { keyId, kind, userId },
  action,
  outcome: 'ok' as const,
  requestId: request.id,
  address: request.ip,
});
