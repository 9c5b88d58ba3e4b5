// The Host and Origin allow-lists, and the log line that ends every request, on a real app.
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import type { Config } from '../config.ts';
import { createLog } from '../log.ts';
import { Refusal } from '../refusal.ts';
import { installGuards } from './guards.ts';

const apps: FastifyInstance[] = [];
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

function appOf(allowedHosts = ['valet.example', 'localhost', '127.0.0.1', '[::1]', 'Other.Example:8443']) {
  const lines: Record<string, unknown>[] = [];
  const log: FastifyBaseLogger = createLog(
    { logLevel: 'debug' },
    { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const app = fastify({
    loggerInstance: log,
    genReqId: () => 'req_1',
    logController: new LogController({ disableRequestLogging: true }),
  });
  apps.push(app);
  let handled = 0;
  installGuards(app, { allowedHosts } as unknown as Config);
  app.setErrorHandler((error, _request, reply) =>
    reply
      .code(error instanceof Refusal ? error.status : 500)
      .send({ reason: error instanceof Refusal ? error.reason : 'other' }),
  );
  app.get('/mcp/:serverId/:accessToken', async () => {
    handled++;
    return { ok: true };
  });
  const ask = async (headers: Record<string, string>) => {
    const reply = await app.inject({ url: '/mcp/srv/secret-token?q=secret', headers });
    return reply.statusCode === 200 ? 'served' : `${reply.statusCode} ${reply.json<{ reason: string }>().reason}`;
  };
  return { app, ask, lines, handled: () => handled };
}

describe('the Host of a request', () => {
  it.each([
    'valet.example',
    'VALET.example',
    'valet.example:9999',
    'localhost:8787',
    '127.0.0.1',
    '[::1]:8787',
    'other.example',
    '127.1',
  ])('is served when it is listed, on any port: %s', async (host) => {
    expect(await appOf().ask({ host })).toBe('served');
  });

  it.each([
    'evil.example',
    'valet.example.evil.example',
    'evilvalet.example',
    'valet.example@evil.example',
    '169.254.169.254',
    'valet.example, evil.example',
    '[::2]',
    'localhost.evil',
    '0',
  ])('is refused otherwise, before any handler: "%s"', async (host) => {
    const { ask, handled } = appOf();
    expect(await ask({ host })).toBe('403 host_not_allowed');
    expect(handled()).toBe(0);
  });
});

describe('the Origin of a request', () => {
  it.each(['http://localhost:3000', 'https://valet.example', 'https://VALET.example:444'])(
    'is served when its name is listed: %s',
    async (origin) => {
      expect(await appOf().ask({ host: 'localhost', origin })).toBe('served');
    },
  );

  it.each([
    'null',
    '',
    'https://evil.example',
    'file://localhost',
    'chrome-extension://localhost',
    'localhost',
    'https://localhost.evil.example',
    'http://localhost, https://evil.example',
    'https://localhost@evil.example',
  ])('is refused otherwise: "%s"', async (origin) => {
    const { ask, handled } = appOf();
    expect(await ask({ host: 'localhost', origin })).toBe('403 origin_not_allowed');
    expect(handled()).toBe(0);
  });

  it('gets no answer that would let a web page read', async () => {
    const { app } = appOf();
    const reply = await app.inject({ url: '/mcp/a/b', headers: { host: 'localhost', origin: 'http://localhost' } });
    expect(
      Object.keys(reply.headers).filter((name) => name.startsWith('access-control') || name === 'set-cookie'),
    ).toEqual([]);
    expect(reply.headers['x-request-id']).toBe('req_1');
  });
});

describe('the line that ends a request', () => {
  it('has the route, never the URL, and its level follows the status', async () => {
    const { app, ask, lines } = appOf();
    app.get('/fails', async () => {
      throw new Error('secret');
    });
    await ask({ host: 'localhost' });
    await ask({ host: 'evil.example' });
    await app.inject({ url: '/no-such/secret', headers: { host: 'localhost' } });
    await app.inject({ url: '/fails', headers: { host: 'localhost' } });
    const ends = lines.filter(({ msg }) => msg === 'request');
    expect(
      ends.map(({ level, route, status, method, requestId }) => [level, route, status, method, requestId]),
    ).toEqual([
      ['debug', '/mcp/:serverId/:accessToken', 200, 'GET', 'req_1'],
      ['info', '/mcp/:serverId/:accessToken', 403, 'GET', 'req_1'],
      ['info', '(none)', 404, 'GET', 'req_1'],
      ['warn', '/fails', 500, 'GET', 'req_1'],
    ]);
    expect(JSON.stringify(ends)).not.toContain('secret');
  });
});
