// A gateway that lost its memory between two attempts of one call: the second attempt reaches a gateway that knows the key no more and could run the
// tool a second time. The epoch is what keeps it from that.
import { randomBytes } from 'node:crypto';
import { MCPClient, OutcomeUnknownError } from '@mcp-valet/client';
import { startTestGateway, type TestGateway } from '@mcp-valet/server/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../support/database.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';

/** Of both gateways. */
const apiKey = randomBytes(32).toString('hex');

describe('a gateway in memory that is started again while a call is repeated', () => {
  let upstream: RecordingUpstream;
  let gateways: TestGateway[] = [];
  beforeAll(async () => {
    upstream = await startRecordingUpstream();
    for (let start = 0; start < 2; start++) {
      const { url } = await openTestDatabase('pglite');
      const gateway = await startTestGateway({ env: { VALET_API_KEY: apiKey, DATABASE_URL: url } });
      gateways.push(gateway);
      await gateway.listen();
      const client = new MCPClient({ baseUrl: gateway.url, apiKey, logLevel: 'off' });
      await client.connectors.create({ connectorId: 'plain', kind: 'mcp-http', url: upstream.url });
      await client.users.create({ username: 'alice' });
    }
  });
  afterAll(async () => {
    for (const gateway of gateways) await gateway.close();
    gateways = [];
    await upstream?.close();
  });

  /** Requests go to the first gateway until the answer of the chosen one is lost; from then on to the second. */
  const clientAcrossTheRestart = (loses: (path: string) => boolean, strip: boolean) => {
    let current = gateways[0] as TestGateway;
    const fetchOverRestart: typeof fetch = async (input, init) => {
      const request = new Request(input, init);
      const { pathname } = new URL(request.url);
      if (strip) request.headers.delete('valet-idempotency-epoch');
      const isLost = current === gateways[0] && loses(pathname);
      const response = await fetch(new Request(current.url + pathname, request));
      if (!isLost) return response;
      await response.arrayBuffer();
      current = gateways[1] as TestGateway;
      throw new TypeError('fetch failed', { cause: Object.assign(new Error('reset'), { code: 'ECONNRESET' }) });
    };
    return new MCPClient({ baseUrl: 'http://127.0.0.1:1', apiKey, fetch: fetchOverRestart, logLevel: 'off' });
  };
  const ways = {
    '/mcp': (client: MCPClient, marker: string) => client.executeForUser('alice', 'plain__count', { marker }),
    '/mcp/tool/call': (client: MCPClient, marker: string) =>
      client.forUser('alice').runAction('plain', 'count', { marker }),
  };

  it.each(Object.entries(ways))(
    'does not run it again over %s, and the client says that nobody knows',
    async (path, run) => {
      const client = clientAcrossTheRestart((asked) => asked === path, false);
      await client.me();
      const calling = run(client, `kept ${path}`);
      await expect(calling).rejects.toBeInstanceOf(OutcomeUnknownError);
      await expect(calling).rejects.toMatchObject({ attempts: 2, state: 'unknown' });
      expect(upstream.counts().get(`kept ${path}`)).toBe(1);
    },
  );

  it('would run it again if the client did not name the epoch: the check is what prevents it', async () => {
    const client = clientAcrossTheRestart((path) => path === '/mcp/tool/call', true);
    await client.me();
    await client.forUser('alice').runAction('plain', 'count', { marker: 'stripped' });
    expect(upstream.counts().get('stripped')).toBe(2);
  });
});
