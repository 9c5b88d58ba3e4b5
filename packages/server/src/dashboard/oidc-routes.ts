// The way to the issuer and back. A browser is only ever sent to the configured issuer and to our own page; what went wrong is a word in the
// page's address that the page turns into a sentence, and an event in the trail.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { findAccountByName } from '../accounts/store.ts';
import { recordEvent, sourceOf } from '../audit/record.ts';
import type { AdminOidc } from '../config.ts';
import type { Parts } from '../context.ts';
import { accountScope, installationScope, withScope } from '../db/scope.ts';
import { asRefusal } from '../http/reply-error.ts';
import { admittingLine, cookieOf } from '../identity/session.ts';
import { callbackPath, newSeed, OidcError, OidcSignIn } from './oidc.ts';
import { fittingLines, openPersonKey, type Person, shownPerson } from './person.ts';
import { setSessionCookie } from './session-cookie.ts';
import { createSession, type NewSession } from './session-store.ts';

/** Lax: it has to come along when the issuer sends the browser back. It opens nothing by itself. */
const seedCookie = '__Host-valet_oidc';
const seedSeconds = 600;

export function oidcRoutes(parts: Parts, settings: AdminOidc) {
  const signIn = new OidcSignIn(parts, settings);
  return async (app: FastifyInstance): Promise<void> => {
    app.addHook('onRequest', async (_request, reply) => {
      void reply.header('cache-control', 'no-store').header('referrer-policy', 'no-referrer');
    });
    const route = { exposeHeadRoute: false } as const;
    app.get('/admin/oidc', route, (request, reply) =>
      guarded(parts, request, reply, async () => {
        // Begun by a page of somebody else: that one may lead to our page, and the person begins there.
        const site = request.headers['sec-fetch-site'];
        if (site === 'cross-site' || site === 'same-site') return reply.redirect('/admin', 303);
        await parts.limits.signIn(sourceOf(request.ip));
        const seed = newSeed();
        const address = await signIn.begin(seed);
        setSeed(reply, seed, seedSeconds);
        return reply.redirect(address, 303);
      }),
    );
    app.get(callbackPath, route, (request, reply) =>
      guarded(parts, request, reply, async () => {
        setSeed(reply, '', 0);
        await parts.limits.signIn(sourceOf(request.ip));
        const seed = cookieOf(request.headers, seedCookie);
        if (seed === undefined) throw new OidcError('stale', 'no_cookie');
        const person = await signIn.finish(seed, new URL(request.url, parts.config.publicUrl).searchParams);
        const lines = fittingLines(person, settings.allow);
        if (lines.length === 0) throw new OidcError('not_allowed', 'not_on_the_list', person);
        const session = await open(parts, settings, { person, lines }, request);
        return setSessionCookie(reply, session.text).redirect('/admin', 303);
      }),
    );
  };
}

const setSeed = (reply: FastifyReply, seed: string, seconds: number): FastifyReply =>
  reply.header('set-cookie', `${seedCookie}=${seed}; Path=/; Max-Age=${seconds}; HttpOnly; Secure; SameSite=Lax`);

/** One transaction: the key, the session and the event that says who it was. */
async function open(
  parts: Parts,
  settings: AdminOidc,
  { person, lines }: { person: Person; lines: readonly string[] },
  request: FastifyRequest,
): Promise<NewSession> {
  const account = await withScope(parts.db, installationScope, (tx) => findAccountByName(tx, settings.account));
  if (account === undefined || !account.enabled) throw new OidcError('failed', 'no_such_account', person);
  return withScope(parts.db, accountScope(account.id), async (tx) => {
    const key = await openPersonKey(tx, parts.keyring, account.id, person);
    if (key === undefined) throw new OidcError('revoked', 'key_revoked', person);
    const admittedBy = lines.map((line) => admittingLine(settings, line));
    const session = await createSession(tx, parts.keyring, { accountId: account.id, keyId: key.id }, admittedBy);
    await recordEvent(tx, {
      accountId: account.id,
      actor: { keyId: key.id, kind: key.kind, userId: null },
      action: 'session.create',
      outcome: 'ok',
      target: session.id,
      requestId: request.id,
      address: request.ip,
      details: shownPerson(person),
    });
    // It ends later now than other sessions of it remember.
    await parts.db.changes.publish(tx, `key:${key.id}`);
    return session;
  });
}

async function guarded(
  parts: Parts,
  request: FastifyRequest,
  reply: FastifyReply,
  fn: () => Promise<FastifyReply>,
): Promise<FastifyReply> {
  try {
    return await fn();
  } catch (error) {
    const failure = asRefusal(error)?.status === 429 ? new OidcError('busy', 'rate_limited') : error;
    if (!(failure instanceof OidcError)) throw error;
    const { problem, reason, person } = failure;
    const heard = { address: request.ip, requestId: request.id, reason };
    await parts.trail.signInFailed({ ...heard, ...(person && { details: shownPerson(person) }) });
    parts.log.warn({ requestId: request.id, reason }, 'a sign-in to the dashboard failed');
    return reply.redirect(`/admin?problem=${problem}`, 303);
  }
}
