// A person with a browser: follows redirects, keeps cookies, presses the buttons of the pages it comes to.

export interface Page {
  url: string;
  status: number;
  text: string;
}

interface Cookie {
  host: string;
  path: string;
  pair: string;
}

export class Person {
  readonly #cookies = new Map<string, Cookie>();

  async open(url: string, init: RequestInit = {}): Promise<Page> {
    let request: RequestInit = init;
    for (let hops = 0; hops < 12; hops++) {
      const { hostname, pathname } = new URL(url);
      const cookies = [...this.#cookies.values()].filter(
        ({ host, path }) => host === hostname && pathname.startsWith(path),
      );
      const headers = new Headers(request.headers);
      headers.set('cookie', cookies.map(({ pair }) => pair).join('; '));
      const response = await fetch(url, { ...request, headers, redirect: 'manual' });
      for (const line of response.headers.getSetCookie()) this.#keep(hostname, line);
      const next = response.headers.get('location');
      if (next === null) return { url, status: response.status, text: await response.text() };
      await response.body?.cancel();
      url = new URL(next, url).href;
      request = {};
    }
    throw new Error(`the redirects do not end: ${new URL(url).origin}`);
  }

  /** Fills in the form of the page and sends it. */
  submit(page: Page, typed: Record<string, string> = {}): Promise<Page> {
    const form = /<form([^>]*)>([\s\S]*?)<\/form>/.exec(page.text);
    if (form === null) throw new Error(`there is no form on a page of ${new URL(page.url).origin}`);
    const action = /action="([^"]*)"/.exec(form[1] ?? '')?.[1] ?? page.url;
    const body = new URLSearchParams();
    for (const [input] of (form[2] ?? '').matchAll(/<input[^>]*type="hidden"[^>]*>/g))
      body.set(/name="([^"]*)"/.exec(input)?.[1] ?? '', /value="([^"]*)"/.exec(input)?.[1] ?? '');
    for (const [name, value] of Object.entries(typed)) body.set(name, value);
    return this.open(new URL(action, page.url).href, { method: 'POST', body });
  }

  /** What the page says, as a reader sees it. */
  static read(page: Page): string {
    const body = page.text.replace(/<style>[\s\S]*?<\/style>|<head>[\s\S]*?<\/head>/g, '');
    return body
      .replace(/<[^>]*>/g, ' ')
      .replace(/\s+/g, ' ')
      .trim();
  }

  #keep(host: string, line: string): void {
    const [pair = '', ...attributes] = line.split('; ');
    const path = attributes.find((one) => one.toLowerCase().startsWith('path='))?.slice(5) ?? '/';
    const name = `${host}${path}${pair.slice(0, pair.indexOf('='))}`;
    if (pair.endsWith('=')) this.#cookies.delete(name);
    else this.#cookies.set(name, { host, path, pair });
  }
}
