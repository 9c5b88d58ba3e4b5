// Makes the server's routes from the contract: every REST route of the management plane passes here, in one order.
//
// Guarantee: no route without sign-in, limit, access check, parsed input and an audit stance, because none is written by hand. A change, its
// audit event and its idempotency claim are one transaction: all three or nothing. Who is refused after sign-in while trying to change
// something has an event too, written after the rollback.
// Order: identity, limit and access before the body is read; then input, then claim, handler and event in one transaction scoped to the
// account and to the users that the caller manages. A route with `db: 'plain'` gets no transaction around its handler, only around its event.
// Failure: everything thrown is answered by `reply-error`. A missing or superfluous handler does not compile.
import {
  type Contract,
  headers,
  limits,
  type Noun,
  type RouteDefinition,
  type RouteId,
  type RouteInput,
  type RouteReply,
  routes,
} from '@mcp-valet/shared';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { assertAccess } from '../access.ts';
import { type AuditEntry, recordEvent } from '../audit/record.ts';
import type { AuditNote, Ctx, Handler, Parts, Topic } from '../context.ts';
import { type Db, withScope } from '../db/scope.ts';
import { identifyRequest } from '../identity/identify.ts';
import { managedUser, type Principal } from '../identity/principal.ts';
import { limitHeaders } from '../rate-limits/take.ts';
import { otherUser } from '../users/store.ts';
import { type LinesPage, linesPerPage, sendLines, wantsLines } from './ndjson.ts';
import { installJsonParser, readIdempotencyKey, readInput, readNamedUser, withRedirectHeader } from './read-request.ts';
import { claimOf, claimOrReplay, keepReply } from './replay.ts';
import { asRefusal, replyError } from './reply-error.ts';

/** A route that anybody may ask: it knows the gateway and no caller. Bytes are sent as they are. */
export type PublicHandler<R extends RouteDefinition> = (parts: Parts) => Promise<RouteReply<R> | Buffer>;

type HandlerOf<R> = R extends RouteDefinition
  ? R['access'] extends readonly ['public']
    ? PublicHandler<R>
    : Handler<R>
  : never;
type Managed<Routes> = { [M in keyof Routes as Routes[M] extends { plane: 'call' } ? never : M]: HandlerOf<Routes[M]> };

/** One handler per route of the management plane, no more and no less. */
export type Handlers = { [N in Noun as keyof Managed<Contract[N]> extends never ? never : N]: Managed<Contract[N]> };

export interface BindOptions {
  /** Throws when a handler's reply does not match the contract. For tests: a caller should rather have the reply. */
  checkReplies?: boolean;
}

/** What is known of a request once its caller has signed in. */
interface Signed {
  principal: Principal;
  namedUser: string | undefined;
  /** What the handler said about the event, also when it then refused. */
  note: AuditNote;
  /** The handler has written the event itself, beside its change. */
  isRecorded?: boolean;
}

interface Answer {
  status: number;
  body: unknown;
  isReplay: boolean;
  /** Names of what the first reply showed once and this one does not. */
  leftOut?: string;
}

type AnyHandler = Handler<RouteDefinition>;

/** OpenAPI documents of the largest vendors have some 500,000 values. */
const maxDocumentNodes = 2_000_000;

/** Registers every route of the contract but those of the call plane, in a scope of its own. */
export function bindContract(app: FastifyInstance, parts: Parts, handlers: Handlers, options: BindOptions = {}): void {
  const table = handlers as unknown as Record<string, Record<string, AnyHandler>>;
  void app.register(async (scope) => {
    const boundOf = new WeakMap<FastifyRequest, BoundRoute>();
    installJsonParser(scope);
    scope.setErrorHandler(
      (error, request, reply) =>
        boundOf.get(request)?.refuse(error, request, reply) ?? replyError(error, request, reply, parts.log),
    );
    for (const { id, route } of routes) {
      if (route.plane === 'call') continue;
      const [noun = '', method = ''] = id.split('.');
      const handler = table[noun]?.[method];
      if (handler === undefined) throw new Error(`no handler for ${id}`);
      const bound = new BoundRoute(parts, id, route, handler, options.checkReplies === true);
      scope.route({
        method: route.method,
        url: route.path.replace(/\{(\w+)\}/g, ':$1'),
        bodyLimit: route.largeBody ? parts.config.limits.bodyBytes : parts.config.limits.managementBodyBytes,
        config: { dialect: route.dialect, maxJsonNodes: route.largeBody ? maxDocumentNodes : limits.jsonNodes },
        onRequest: (request, reply) => {
          boundOf.set(request, bound);
          return bound.signIn(request, reply);
        },
        handler: (request, reply) => bound.answer(request, reply),
      });
    }
  });
}

class BoundRoute {
  readonly #parts: Parts;
  readonly #id: RouteId;
  readonly #route: RouteDefinition;
  readonly #handler: AnyHandler;
  readonly #checkReplies: boolean;
  readonly #signed = new WeakMap<FastifyRequest, Signed>();

  constructor(parts: Parts, id: RouteId, route: RouteDefinition, handler: AnyHandler, checkReplies: boolean) {
    this.#parts = parts;
    this.#id = id;
    this.#route = route;
    this.#handler = handler;
    this.#checkReplies = checkReplies;
  }

  get #isPublic(): boolean {
    return this.#route.access.includes('public');
  }

  /** Before the body is read: a stranger's megabytes are not. */
  async signIn(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    void reply.header(headers.requestId, request.id);
    if (this.#isPublic) return;
    void reply.header('cache-control', 'no-store');
    const principal = await this.#identify(request);
    this.#parts.epoch.promise(reply);
    const signed: Signed = { principal, namedUser: undefined, note: {} };
    this.#signed.set(request, signed);
    void reply.headers(limitHeaders(await this.#parts.limits.management(principal)));
    assertAccess(principal, this.#id, this.#route);
    if (this.#route.path === '/api/servers') signed.namedUser = readNamedUser(request);
  }

  async #identify(request: FastifyRequest): Promise<Principal> {
    try {
      const read = { headers: request.headers, rawHeaders: request.raw.rawHeaders };
      return await identifyRequest(read, this.#parts, { takesSession: true });
    } catch (error) {
      const refusal = asRefusal(error);
      if (refusal !== undefined && (refusal.status === 401 || refusal.status === 403)) {
        const { reason, by } = refusal;
        await this.#parts.trail.signInFailed({ address: request.ip, requestId: request.id, reason, by });
      }
      throw error;
    }
  }

  async answer(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    if (this.#isPublic) {
      const answer = await (this.#handler as unknown as PublicHandler<RouteDefinition>)(this.#parts);
      return reply.code(this.#route.status).type('application/json; charset=utf-8').send(answer);
    }
    const signed = this.#signed.get(request);
    if (signed === undefined) throw new Error('a handler was reached without sign-in');
    if (this.#route.ndjson === true && wantsLines(request.headers.accept))
      return sendLines(reply, (cursor) => this.#readLines(request, signed, cursor));
    const { status, body, isReplay, leftOut } = await this.#run(request, signed);
    if (isReplay) void reply.header(headers.replayed, 'true');
    if (leftOut) void reply.header(headers.leftOut, leftOut);
    return reply.code(status).send(body);
  }

  /** Whatever went wrong, unreadable bodies included: recorded once the caller is known, then answered. */
  async refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const signed = this.#signed.get(request);
    if (signed !== undefined) await this.#recordRefusal(request, signed, error);
    return replyError(error, request, reply, this.#parts.log);
  }

  async #run(request: FastifyRequest, signed: Signed): Promise<Answer> {
    const route = this.#route;
    const input = withRedirectHeader(route, readInput(route, request), request);
    const key = route.method === 'POST' ? readIdempotencyKey(request) : undefined;
    const event = () => this.#eventOf(request, signed, 'ok');
    if (route.db === 'plain') {
      // Nothing to claim: such a route reads, or may be sent twice without harm.
      const { ctx, topics } = this.#context(request, signed, undefined);
      const body = await this.#handle(input, ctx);
      const last = signed.isRecorded ? undefined : event();
      if (last !== undefined || topics.size > 0) await ctx.scoped((tx) => this.#finish(tx, last, topics));
      return { status: route.status, body, isReplay: false };
    }
    const { keyring, epoch } = this.#parts;
    const claimUnder = (usedKey: string) =>
      claimOf(keyring, { route, key: usedKey, input, principal: signed.principal, namedUser: signed.namedUser });
    if (key !== undefined && route.idempotent !== true)
      await epoch.refuseForeign(request.headers[headers.idempotencyEpoch], () => claimUnder(key));
    await this.#handler.prepare?.(input, { parts: this.#parts, principal: signed.principal });
    return this.#transaction(signed.principal, async (tx) => {
      const claim = key === undefined ? undefined : claimUnder(key);
      const stored = claim && (await claimOrReplay(tx, keyring, claim));
      if (stored !== undefined)
        return { status: stored.status, body: stored.reply, isReplay: true, leftOut: stored.leftOut };
      const { ctx, topics } = this.#context(request, signed, tx);
      const body = await this.#handle(input, ctx);
      if (claim !== undefined) await keepReply(tx, keyring, claim, route, body);
      await this.#finish(tx, event(), topics);
      return { status: route.status, body, isReplay: false };
    });
  }

  /** One page of a list that is asked for whole. The credential is looked at again before each: a key that ends, ends this too. */
  async #readLines(request: FastifyRequest, signed: Signed, cursor: string | undefined): Promise<LinesPage> {
    if (cursor !== undefined) await this.#identify(request);
    const input = readInput(this.#route, request);
    const { offset: _, ...rest } = input.query as Record<string, unknown>;
    const query = { ...(cursor === undefined ? input.query : { ...rest, cursor }), limit: linesPerPage };
    const body = await this.#transaction(signed.principal, (tx) =>
      this.#handle({ ...input, query } as unknown as typeof input, this.#context(request, signed, tx, true).ctx),
    );
    const { nextCursor, [this.#route.items ?? '']: items } = body as Record<string, unknown>;
    return { items: items as unknown[], nextCursor: nextCursor as string | null };
  }

  #transaction<T>(principal: Principal, fn: (tx: Db) => Promise<T>): Promise<T> {
    return withScope(this.#parts.db, { account: principal.accountId, user: managedUser(principal) }, fn);
  }

  #context(
    request: FastifyRequest,
    signed: Signed,
    tx: Db | undefined,
    isExport = false,
  ): { ctx: Ctx; topics: Set<Topic> } {
    const topics = new Set<Topic>();
    const ctx: Ctx = {
      parts: this.#parts,
      principal: signed.principal,
      namedUser: signed.namedUser,
      isExport,
      requestId: request.id,
      get db(): Db {
        if (tx === undefined) throw new Error('a route declared plain has no transaction: use scoped');
        return tx;
      },
      scoped: (fn) => {
        // On the embedded database a second transaction would wait for the first, which waits for it.
        if (tx !== undefined) throw new Error('this route has a transaction: use db');
        return this.#transaction(signed.principal, fn);
      },
      note: (more) => void Object.assign(signed.note, more),
      changed: (topic) => void topics.add(topic),
      record: async (own, action) => {
        if (tx !== undefined) throw new Error('this route has a transaction: its event is written with it');
        const event = this.#eventOf(request, signed, 'ok');
        if (event === undefined) throw new Error('a route without an audit action records nothing');
        const id = await recordEvent(own, action === undefined ? event : { ...event, action });
        await this.#finish(own, undefined, topics);
        topics.clear();
        signed.isRecorded = true;
        return id;
      },
    };
    return { ctx, topics };
  }

  async #handle(input: RouteInput<RouteDefinition>, ctx: Ctx): Promise<unknown> {
    const body = await this.#handler(input, ctx);
    if (this.#checkReplies) {
      const parsed = this.#route.reply.safeParse(body);
      if (!parsed.success)
        throw new Error(
          `${this.#route.method} ${this.#route.path} breaks its contract: ${JSON.stringify(parsed.error.issues)}`,
        );
    }
    return body;
  }

  /** Last in the transaction: the event, and what caches are told with the commit. */
  async #finish(tx: Db, event: AuditEntry | undefined, topics: ReadonlySet<Topic>): Promise<void> {
    if (event !== undefined) await recordEvent(tx, event);
    for (const topic of topics) await this.#parts.db.changes.publish(tx, topic);
  }

  #eventOf(
    request: FastifyRequest,
    signed: Signed,
    outcome: AuditEntry['outcome'],
    reason?: string,
  ): AuditEntry | undefined {
    const { principal, note } = signed;
    // An attempt to act for somebody else is an event even where nothing would have changed.
    const action = this.#route.audit ?? (reason === otherUser ? 'user.override' : null);
    if (action === null) return undefined;
    const { attemptedUser, ...details } = note.details ?? {};
    return {
      accountId: principal.accountId,
      actor: { keyId: principal.keyId, kind: principal.kind, userId: principal.userId },
      action,
      outcome,
      userId: note.userId,
      attemptedUser: typeof attemptedUser === 'string' ? attemptedUser : undefined,
      target: note.target,
      reason,
      requestId: request.id,
      address: request.ip,
      details: principal.sessionId === undefined ? details : { ...details, session: principal.sessionId },
    };
  }

  /** After the rollback, in a transaction of its own. Never hides the error it tells about. */
  async #recordRefusal(request: FastifyRequest, signed: Signed, error: unknown): Promise<void> {
    const refusal = asRefusal(error);
    const failed = refusal === undefined || refusal.status >= 500;
    const event = this.#eventOf(request, signed, failed ? 'failed' : 'refused', refusal?.reason ?? 'INTERNAL_ERROR');
    if (event !== undefined) await this.#parts.trail.refused(event);
  }
}
