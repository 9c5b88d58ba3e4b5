// The pages of a sign-in as routes: the link, what its page sends, and the way back from a provider. Reads cookies and forms and sends
// HTML; who may do what is decided in `credentials/oauth`. Every answer is uncacheable, unframeable and without scripts, and nothing but
// the page of a proven person names anybody. A browser is the only expected caller, so errors are pages too.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Parts } from '../context.ts';
import {
  type Asked,
  finishAuthorization,
  type Outcome,
  providerOf,
  startAuthorization,
} from '../credentials/oauth/authorize.ts';
import { hashOf, isSameHash, type LiveLink, linkMinutes, newToken } from '../credentials/oauth/connect-store.ts';
import * as pages from '../credentials/oauth/pages.ts';
import {
  askedSecrets,
  holdBrowser,
  isProven,
  isUserOf,
  noteMiss,
  openLink,
  proveByTicket,
  saveTyped,
} from '../credentials/oauth/person.ts';
import { clientDocumentUrl, clientMetadata, type OAuthProvider } from '../credentials/oauth/provider.ts';
import { ProviderError } from '../credentials/oauth/provider-error.ts';
import { identifyToken } from '../identity/identify.ts';
import type { Principal } from '../identity/principal.ts';
import { Refusal } from '../refusal.ts';
import { asRefusal } from './reply-error.ts';

const formBytes = 1024 * 1024;

export function connectRoutes(parts: Parts) {
  return async (app: FastifyInstance): Promise<void> => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
      done(null, new URLSearchParams(body as string)),
    );
    app.setErrorHandler((error, request, reply) => replyBroken(error, request, reply));
    const browsers = new Browsers(parts);
    // No HEAD routes: what looks at links before people do must not use one up.
    const route = { exposeHeadRoute: false, bodyLimit: formBytes };
    app.get('/connect/:id', route, (request, reply) => new Visit(parts, browsers, request, reply).open());
    app.post('/connect/:id', route, (request, reply) => new Visit(parts, browsers, request, reply).submit());
    app.get('/oauth/callback', route, (request, reply) => new Visit(parts, browsers, request, reply).comeBack());
    app.get('/oauth/client.json', route, async (_request, reply) =>
      reply
        .type('application/json; charset=utf-8')
        .header('cache-control', 'public, max-age=3600')
        .send({ client_id: clientDocumentUrl(parts), ...clientMetadata(parts) }),
    );
  };
}

/** The cookie that holds a browser to one link, and the token that ties a form to that cookie. */
class Browsers {
  readonly #parts: Parts;
  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Browsers take `__Host-` over https only; a gateway on a developer's machine has none. */
  get #isSecure(): boolean {
    return this.#parts.config.publicUrl.startsWith('https:');
  }

  /** One per link: signing in to two things at a time is nothing unusual. */
  #name(link: LiveLink): string {
    return `${this.#isSecure ? '__Host-' : ''}valet-connect-${Buffer.from(link.hash).toString('hex', 0, 6)}`;
  }

  read(request: FastifyRequest, link: LiveLink): string | undefined {
    const name = this.#name(link);
    const found = (request.headers.cookie ?? '')
      .split(';')
      .map((pair) => pair.trim())
      .filter((pair) => pair.startsWith(`${name}=`));
    // Two of one name: one of them is not ours, and which one cannot be told.
    return found.length === 1 ? found[0]?.slice(name.length + 1) : undefined;
  }

  set(reply: FastifyReply, link: LiveLink, value: string, seconds = linkMinutes * 60): void {
    const attributes = `Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${this.#isSecure ? '; Secure' : ''}`;
    void reply.header('set-cookie', `${this.#name(link)}=${value}; ${attributes}`);
  }

  csrf(link: LiveLink, browser: string): string {
    return this.#parts.keyring.digest('mcpv/connect-csrf/1', link.hash, browser).toString('base64url');
  }

  isFormOf(link: LiveLink, browser: string | undefined, csrf: string | null): boolean {
    if (browser === undefined || csrf === null || hashOf(this.#parts.keyring, 'browser', browser) === undefined)
      return false;
    return isSameHash(Buffer.from(this.csrf(link, browser)), Buffer.from(csrf));
  }
}

/** One request of a browser. */
class Visit {
  readonly #parts: Parts;
  readonly #browsers: Browsers;
  readonly #request: FastifyRequest;
  readonly #reply: FastifyReply;
  readonly #asked: Asked;

  constructor(parts: Parts, browsers: Browsers, request: FastifyRequest, reply: FastifyReply) {
    this.#parts = parts;
    this.#browsers = browsers;
    this.#request = request;
    this.#reply = reply;
    this.#asked = { requestId: request.id, address: request.ip };
  }

  get #query(): URLSearchParams {
    const at = this.#request.url.indexOf('?');
    return new URLSearchParams(at < 0 ? '' : this.#request.url.slice(at + 1));
  }

  get #id(): string {
    return (this.#request.params as { id: string }).id;
  }

  get #ownUrl(): string {
    return `${this.#parts.config.publicUrl}/connect/${this.#id}`;
  }

  /** GET of the link. */
  async open(): Promise<FastifyReply> {
    const link = await openLink(this.#parts, 'link', this.#id);
    if (link === undefined) return this.#send(pages.endedPage());
    const browser = this.#browsers.read(this.#request, link);
    const isHere = isProven(this.#parts, link, browser);
    const ticket = this.#query.get('ticket');
    if (ticket !== null) {
      const held = isHere ? browser : await proveByTicket(this.#parts, link, ticket);
      if (held === undefined) return this.#askWho(link, 'This way in was used or has ended. Go back to the app.');
      this.#browsers.set(this.#reply, link, held);
      // At once to an address without the ticket: history and screenshots show the address.
      return this.#redirect(this.#ownUrl);
    }
    if (!isHere || browser === undefined) return this.#askWho(link);
    return this.#show(link, browser);
  }

  /** POST of one of our forms. */
  async submit(): Promise<FastifyReply> {
    const link = await openLink(this.#parts, 'link', this.#id);
    if (link === undefined) return this.#send(pages.endedPage());
    const form = this.#request.body instanceof URLSearchParams ? this.#request.body : new URLSearchParams();
    const browser = this.#browsers.read(this.#request, link);
    if (browser === undefined || !this.#browsers.isFormOf(link, browser, form.get('csrf')))
      return this.#askWho(link, 'The form was too old, or cookies are off. Please try again.');
    if (form.get('step') === 'sign-in') return this.#signIn(link, form.get('key') ?? '');
    if (!isProven(this.#parts, link, browser)) return this.#askWho(link, 'Please sign in first.');
    if (form.get('step') === 'secrets' && link.credentialType !== 'oauth2') return this.#save(link, browser, form);
    if (form.get('step') === 'consent' && link.credentialType === 'oauth2') return this.#leave(link);
    return this.#show(link, browser);
  }

  /** GET from the provider. */
  async comeBack(): Promise<FastifyReply> {
    const answer = this.#query;
    const link = await openLink(this.#parts, 'state', answer.get('state') ?? undefined);
    if (link === undefined) return this.#send(pages.endedPage());
    if (!isProven(this.#parts, link, this.#browsers.read(this.#request, link))) {
      await noteMiss(this.#parts, link, this.#asked, 'another_browser');
      return this.#send(pages.forbiddenPage());
    }
    const outcome = await finishAuthorization(this.#parts, link, answer, this.#asked);
    return outcome === undefined ? this.#send(pages.endedPage()) : this.#end(link, outcome);
  }

  #askWho(link: LiveLink, problem?: string): FastifyReply {
    // The form is tied to a cookie before anybody is known: else another site could sign this browser in as somebody else.
    const browser = newToken();
    this.#browsers.set(this.#reply, link, browser);
    return this.#send(pages.signInPage({ csrf: this.#browsers.csrf(link, browser), problem }));
  }

  async #signIn(link: LiveLink, key: string): Promise<FastifyReply> {
    const principal = await this.#identified(key.trim());
    if (principal === undefined || !isUserOf(link, principal)) {
      const reason = principal === undefined ? 'unknown_key' : 'another_user';
      await noteMiss(this.#parts, link, this.#asked, reason, principal);
      return this.#send(pages.forbiddenPage());
    }
    const browser = await holdBrowser(this.#parts, link);
    if (browser === undefined) return this.#send(pages.endedPage());
    this.#browsers.set(this.#reply, link, browser);
    return this.#redirect(this.#ownUrl);
  }

  async #identified(key: string): Promise<Principal | undefined> {
    try {
      return await identifyToken(key, this.#parts);
    } catch (error) {
      if (error instanceof Refusal && (error.status === 401 || error.status === 403)) return undefined;
      throw error;
    }
  }

  async #show(link: LiveLink, browser: string): Promise<FastifyReply> {
    const csrf = this.#browsers.csrf(link, browser);
    const { username, connectorName: connector } = link;
    if (link.credentialType !== 'oauth2') {
      const names = await askedSecrets(this.#parts, link);
      return this.#send(pages.secretsPage({ csrf, username, connector, names, returnOrigin: originOf(link) }));
    }
    let provider: OAuthProvider;
    try {
      ({ provider } = await providerOf(this.#parts, link));
    } catch (error) {
      return this.#noProvider(error, link);
    }
    const { host, origin, protocol } = new URL(provider.server.authorization_endpoint ?? provider.server.issuer);
    const insecureOrigin = protocol === 'http:' ? origin : undefined;
    const scopes = link.scopes ?? provider.scopes;
    const label = link.credentialLabel;
    return this.#send(pages.consentPage({ csrf, username, connector, label, host, scopes, insecureOrigin }));
  }

  async #leave(link: LiveLink): Promise<FastifyReply> {
    let url: string | undefined;
    try {
      url = await startAuthorization(this.#parts, link);
    } catch (error) {
      return this.#noProvider(error, link);
    }
    return url === undefined ? this.#send(pages.endedPage()) : this.#redirect(url);
  }

  /** The link stays good: nobody has gone anywhere yet. */
  #noProvider(error: unknown, link: LiveLink): FastifyReply {
    if (!(error instanceof ProviderError)) throw error;
    const { requestId } = this.#asked;
    this.#parts.log.warn(
      { requestId, connector: link.connectorId, reason: error.reason },
      'no sign-in service to go to',
    );
    return this.#send(pages.failedPage(error.problem === 'unreachable' ? 'provider_unreachable' : 'provider_error'));
  }

  async #save(link: LiveLink, browser: string, form: URLSearchParams): Promise<FastifyReply> {
    const names = await askedSecrets(this.#parts, link);
    const values = Object.fromEntries(names.map((name, index) => [name, form.get(`secret-${index}`) ?? '']));
    const isSaved = await saveTyped(this.#parts, link, values, this.#asked);
    if (isSaved === false) return this.#send(pages.endedPage());
    if (isSaved) return this.#end(link, { status: 'connected' });
    const { username, connectorName: connector } = link;
    const csrf = this.#browsers.csrf(link, browser);
    const problem = 'Please fill in every field.';
    return this.#send(pages.secretsPage({ csrf, username, connector, names, problem, returnOrigin: originOf(link) }));
  }

  #end(link: LiveLink, outcome: Outcome): FastifyReply {
    this.#browsers.set(this.#reply, link, '', 0);
    if (link.redirectUri === null) {
      return this.#send(
        outcome.status === 'connected' ? pages.connectedPage(link.connectorName) : pages.failedPage(outcome.error),
      );
    }
    const url = new URL(link.redirectUri);
    url.searchParams.set('status', outcome.status);
    if (outcome.status === 'error') url.searchParams.set('error', outcome.error);
    url.searchParams.set('credentialId', link.credentialId);
    return this.#redirect(url.href);
  }

  #redirect(url: string): FastifyReply {
    return guarded(this.#reply, []).code(303).header('location', url).send();
  }

  #send(page: pages.Page): FastifyReply {
    return sendPage(this.#reply, page);
  }
}

const originOf = (link: LiveLink): string | undefined =>
  link.redirectUri === null ? undefined : new URL(link.redirectUri).origin;

const sendPage = (reply: FastifyReply, page: pages.Page): FastifyReply =>
  guarded(reply, page.formAction).code(page.status).type('text/html; charset=utf-8').send(page.html);

function guarded(reply: FastifyReply, formAction: readonly string[]): FastifyReply {
  const policy = [
    "default-src 'none'",
    `style-src ${pages.styleSource}`,
    `form-action ${["'self'", ...formAction].join(' ')}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  return reply
    .header('content-security-policy', policy.join('; '))
    .header('x-frame-options', 'DENY')
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'no-referrer')
    .header('cache-control', 'no-store');
}

function replyBroken(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const status = asRefusal(error)?.status ?? 500;
  if (status >= 500) {
    const { name, code, stack } =
      error instanceof Error ? (error as Error & { code?: unknown }) : { name: typeof error };
    // Frames only: the first lines of a stack are the message.
    const at = stack?.split('\n').filter((line) => /^\s+at /.test(line));
    const place = { requestId: request.id, route: request.routeOptions.url, status, error: name };
    request.log.error({ ...place, ...(typeof code === 'string' && { code }), at: at?.slice(0, 8) }, 'request failed');
  }
  return sendPage(reply, pages.brokenPage(status, request.id));
}
