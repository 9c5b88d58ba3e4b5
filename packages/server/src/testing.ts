// A real gateway inside the caller's process, for tests of whoever builds on it: embedded database in memory, a fresh admin key, and loopback
// upstreams allowed. `fetch` reaches it without a socket; `listen` gives it one.
import { createGateway, type Gateway, type GatewayOptions } from './app.ts';
import { loadConfig } from './config.ts';

export interface TestGateway {
  /** Base URL: of the socket after `listen`, else one that only `fetch` understands. */
  url: string;
  /** Admin key of the account `default`. */
  apiKey: string;
  fetch: typeof fetch;
  listen(): Promise<string>;
  close(): Promise<void>;
  /** The gateway itself, for tests that look inside. */
  gateway: Gateway;
}

export interface TestGatewayOptions extends GatewayOptions {
  /** Environment variables as for `npm start`; the defaults here are a database in memory and a silent log. */
  env?: Record<string, string>;
}

async function bodyOf(request: Request): Promise<Buffer | undefined> {
  return request.body === null ? undefined : Buffer.from(await request.arrayBuffer());
}

/** Whoever tests shares the event loop with the gateway and with databases that stop it for seconds. */
const calm = { loopDelayMs: 0, heapUsed: 0, heapLimit: 1 };

export async function startTestGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const { env, ...gatewayOptions } = options;
  const config = loadConfig({
    DATABASE_URL: 'pglite:memory',
    PORT: '0',
    LOG_LEVEL: 'silent',
    VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8,::1/128',
    ...env,
  });
  const gateway = await createGateway(config, { readLoad: () => calm, ...gatewayOptions });
  const injectFetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    const payload = await bodyOf(request);
    const response = await gateway.app.inject({
      method: request.method as 'GET',
      url: `${url.pathname}${url.search}`,
      headers: { ...Object.fromEntries(request.headers), host: 'localhost' },
      ...(payload && { payload }),
    });
    const headers = new Headers();
    for (const [name, value] of Object.entries(response.headers)) {
      for (const each of Array.isArray(value) ? value : [value])
        if (each !== undefined) headers.append(name, String(each));
    }
    const isEmpty = response.statusCode === 204 || response.statusCode === 304;
    return new Response(isEmpty ? null : new Uint8Array(response.rawPayload), { status: response.statusCode, headers });
  };
  const test: TestGateway = {
    url: 'http://localhost',
    apiKey: gateway.generatedApiKey ?? env?.['VALET_API_KEY'] ?? '',
    fetch: injectFetch,
    async listen() {
      test.url = await gateway.listen();
      test.fetch = fetch;
      return test.url;
    },
    close: () => gateway.close(),
    gateway,
  };
  return test;
}
