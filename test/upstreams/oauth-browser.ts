// A person's browser for tests: cookies by host and path, redirects, forms. Sends what real ones send where the gateway looks: the Origin of a
// form as the page's referrer policy makes it. Runs no scripts, as the pages have none.

export interface Seen {
  url: string;
  status: number;
  headers: Headers;
  text: string;
}

interface Cookie {
  host: string;
  path: string;
  name: string;
  value: string;
}

const maxHops = 15;

export class Browser {
  #cookies: Cookie[] = [];
  readonly #servedBy: Readonly<Record<string, string>>;

  /** `servedBy`: origins that exist for this browser only, and the loopback origin that serves them. */
  constructor(servedBy: Readonly<Record<string, string>> = {}) {
    this.#servedBy = servedBy;
  }

  /** Addresses that redirects led to, tickets and codes included. */
  readonly visited: string[] = [];

  /** Opens an address and follows redirects, but not to `stopAt`: there is no such server. */
  async open(url: string, stopAt?: string): Promise<Seen> {
    return this.#send(url, { method: 'GET' }, stopAt);
  }

  /** Sends the first form of the page with its hidden fields and these. */
  async submit(page: Seen, fields: Record<string, string> = {}, stopAt?: string): Promise<Seen> {
    const form = /<form([^>]*)>([\s\S]*?)<\/form>/.exec(page.text);
    if (form === null) throw new Error(`no form on ${page.url}: ${page.status} ${page.text.slice(0, 2000)}`);
    const action = /action="([^"]*)"/.exec(form[1] ?? '')?.[1] ?? page.url;
    const values = new URLSearchParams();
    for (const [input] of (form[2] ?? '').matchAll(/<input[^>]*type="hidden"[^>]*>/g)) {
      values.set(/name="([^"]*)"/.exec(input)?.[1] ?? '', plain(/value="([^"]*)"/.exec(input)?.[1] ?? ''));
    }
    for (const [name, value] of Object.entries(fields)) values.set(name, value);
    const target = new URL(plain(action), page.url).href;
    return this.#send(
      target,
      {
        method: 'POST',
        body: values.toString(),
        headers: { 'content-type': 'application/x-www-form-urlencoded', origin: originOf(page, target) },
      },
      stopAt,
    );
  }

  cookieNames(host: string): string[] {
    return this.#cookies.filter((cookie) => cookie.host === host).map(({ name }) => name);
  }

  async #send(first: string, init: RequestInit, stopAt?: string): Promise<Seen> {
    let url = first;
    let request = init;
    for (let hop = 0; hop < maxHops; hop++) {
      this.visited.push(url);
      if (stopAt !== undefined && url.startsWith(stopAt)) return { url, status: 0, headers: new Headers(), text: '' };
      const headers = new Headers(request.headers);
      const cookies = this.#cookiesFor(new URL(url));
      if (cookies !== '') headers.set('cookie', cookies);
      const { origin } = new URL(url);
      const address = url.replace(origin, this.#servedBy[origin] ?? origin);
      const response = await fetch(address, { ...request, headers, redirect: 'manual' });
      for (const line of response.headers.getSetCookie()) this.#keep(new URL(url), line);
      const location = response.headers.get('location');
      if (location === null)
        return { url, status: response.status, headers: response.headers, text: await response.text() };
      await response.body?.cancel();
      url = new URL(location, url).href;
      request = { method: 'GET' };
    }
    throw new Error(`more than ${maxHops} redirects, at last to ${url}`);
  }

  #keep(url: URL, line: string): void {
    const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
    const at = pair.indexOf('=');
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
    const attribute = (wanted: string) =>
      attributes.find((one) => one.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
    const path = attribute('path') ?? '/';
    this.#cookies = this.#cookies.filter(
      (cookie) => cookie.host !== url.hostname || cookie.path !== path || cookie.name !== name,
    );
    const expires = attribute('expires');
    const isGone = attribute('max-age') === '0' || (expires !== undefined && Date.parse(expires) < Date.now());
    if (!isGone) this.#cookies.push({ host: url.hostname, path, name, value });
  }

  #cookiesFor({ hostname, pathname }: URL): string {
    return this.#cookies
      .filter(
        ({ host, path }) => host === hostname && (pathname === path || pathname.startsWith(path.replace(/\/?$/, '/'))),
      )
      .sort((a, b) => b.path.length - a.path.length)
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
  }
}

/** Fetch standard, "append a request Origin header": under `no-referrer` a form's origin is `null`. A page's meta wins over its header. */
function originOf(page: Seen, target: string): string {
  const policy = /<meta name="referrer" content="([^"]*)">/.exec(page.text)?.[1] ?? page.headers.get('referrer-policy');
  const origin = new URL(page.url).origin;
  if (policy === 'no-referrer') return 'null';
  return policy === 'same-origin' && new URL(target).origin !== origin ? 'null' : origin;
}

const plain = (text: string): string =>
  text
    .replace(/&quot;/g, '"')
    .replace(/&#39;/g, "'")
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&amp;/g, '&');
