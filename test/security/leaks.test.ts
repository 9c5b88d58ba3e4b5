// LOG-1: provokes errors in more than twenty shapes that make software quote what it was sent, and then searches every answer, every log line
// at trace level, standard error, and every row of the database for the secrets and tokens involved.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { testDatabases, type TestDatabase } from '../support/database.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { behaviours, encodings, type HostileUpstream, startHostileUpstream } from '../support/hostile-upstream.ts';
import { Canaries, tokenNeedle } from './support/canaries.ts';
import { dumpTables, withReader } from './support/dump.ts';
import { type EchoUpstream, startEchoUpstream } from './support/echo-upstream.ts';
import { LogCollector } from './support/log-collector.ts';
import { inParallel, type Sent, Wire } from './support/wire.ts';
import { noLimits } from './support/world.ts';

const places = ['text', 'error', 'structured', 'meta', 'resource', 'link', 'blob', 'rpc-error'];
/** Places that encode what is put there: with another encoding inside, the value has been transformed, which nobody promises to see. */
const encodes = ['link', 'blob'];

describe.each(testDatabases())('secrets under provoked errors on $kind', ({ open }) => {
  const canaries = new Canaries();
  const tokens: string[] = [];
  const log = new LogCollector(canaries, tokens);
  const leaks: string[] = [];
  const printed: string[] = [];
  let database: TestDatabase;
  let rig: Rig;
  let wire: Wire;
  let hostile: HostileUpstream;
  let echoes: EchoUpstream[];
  let key: string;
  let server: { serverId: string; accessToken: string };
  let fallback: { serverId: string; accessToken: string };

  const set = (serverName: string, secretValue: string, secretName = 'TOKEN') =>
    rig.manage('POST', '/secrets/set', { username: 'alice', serverName, secretName, secretValue });
  const connector = async (connectorId: string, url: string, inject: object, secretValue = canaries.make(connectorId)) => {
    await rig.manage('POST', '/api/connectors', { connectorId, kind: 'mcp-http', url, secretNames: ['TOKEN'], inject, timeoutMs: 1000 });
    await set(connectorId, secretValue);
  };
  const headers = { authorization: 'Bearer {{TOKEN}}' };
  const query = { key: '{{TOKEN}}' };

  beforeAll(async () => {
    for (const stream of [process.stdout, process.stderr] as const) {
      const write = stream.write.bind(stream);
      vi.spyOn(stream, 'write').mockImplementation((chunk, ...rest) => {
        printed.push(String(chunk));
        return write(chunk, ...(rest as []));
      });
    }
    database = await open();
    hostile = await startHostileUpstream();
    echoes = [await startEchoUpstream({ sse: false }), await startEchoUpstream({ sse: true }), await startEchoUpstream({ sse: false, fail: 'rpc' }), await startEchoUpstream({ sse: true, fail: 'status' })];
    rig = await startRig({ database, env: { ...noLimits, LOG_LEVEL: 'trace' }, logDestination: log });
    wire = new Wire(rig.url);
    await rig.manage('POST', '/users', { username: 'alice' });
    key = (await rig.manage('POST', '/users/alice/keys', { key_name: 'k' })).api_key;
    await connector('byheader', hostile.url, { headers });
    await connector('byquery', hostile.url, { query });
    await connector('byargument', hostile.url, { args: { apiKey: '{{TOKEN}}' } });
    for (const [index, { url }] of echoes.entries()) await connector(`echo${index}`, url, { headers, query, args: { apiKey: '{{TOKEN}}' } });
    await connector('nowhere', 'http://127.0.0.1:9/mcp', { query, headers });
    await connector('broken', hostile.urlFor('close-at-once'), { query, headers });
    await connector('newline', hostile.url, { headers }, `${canaries.make('newline')}\r\nx-evil: 1`);
    await connector('foreign-letters', hostile.url, { headers: { 'x-key': '{{TOKEN}}' } }, `${canaries.make('letters')}\u00e9\u{1f511}`);
    // What falls back to the user `default` runs, and is journaled.
    await rig.manage('POST', '/secrets/set', { serverName: 'byheader', secretName: 'TOKEN', secretValue: canaries.make('default') });
    server = await rig.manage('POST', '/api/servers', { name: 'direct', mode: 'direct' });
    fallback = await rig.manage('POST', '/api/servers', { name: 'fallback', mode: 'direct', onUnknownUser: 'fallback' });
    for (const token of [rig.admin, key, server.accessToken, fallback.accessToken]) tokens.push(tokenNeedle(token));
  });
  afterAll(async () => {
    await wire?.close();
    await rig?.close();
    await Promise.all([hostile.close(), ...echoes.map((echo) => echo.close())]);
  });

  /** Sends it and searches the answer. `echoes`: the answer may repeat what its sender wrote, nothing else may. */
  async function provoke(sent: Sent, options: { mayEcho?: boolean } = {}): Promise<{ status: number; text: string }> {
    const answer = await wire.send(sent);
    const found = canaries.find(`${answer.text} ${JSON.stringify(answer.headers)}`);
    if (found !== undefined && options.mayEcho !== true) leaks.push(`${sent.method} ${sent.path} ${String(sent.body).slice(0, 160)}: ${found}`);
    return answer;
  }
  const asAlice = () => ['authorization', `Bearer ${key}`, 'content-type', 'application/json'];
  const asAdmin = () => ['authorization', `Bearer ${rig.admin}`, 'content-type', 'application/json'];
  const rpc = (method: string, params?: unknown): string => JSON.stringify({ jsonrpc: '2.0', id: 1, method, ...(params !== undefined && { params }) });
  const call = (name: string, args: object = {}) => provoke({ method: 'POST', path: `/mcp/${server.serverId}`, headers: asAlice(), body: rpc('tools/call', { name, arguments: args }) });

  it('takes a secret out of every place and encoding in which an upstream says it back', async () => {
    const before = hostile.recorded.length;
    const cells = ['byheader', 'byquery', 'byargument'].flatMap((id) => places.flatMap((where) => (encodes.includes(where) ? ['raw'] : [undefined, ...Object.keys(encodings)]).map((encoding) => ({ id, where, encoding }))));
    await inParallel(cells, 8, async ({ id, where, encoding }) => void (await call(`${id}__echo-secrets`, { where, ...(encoding !== undefined && { encoding }) })));
    expect(hostile.recorded.length - before).toBeGreaterThanOrEqual(cells.length);
    expect(leaks.splice(0)).toEqual([]);
  }, 60_000);

  it('takes it out of lists, prompts, resources, completions, notifications and errors', async () => {
    for (const id of echoes.keys()) {
      const name = `echo${id}`;
      for (const method of ['initialize', 'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list']) {
        const params = method === 'initialize' ? { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } } : {};
        await provoke({ method: 'POST', path: '/mcp', headers: asAlice(), body: rpc(method, params) });
      }
      await call(`${name}__tell`);
      const others: [string, object][] = [
        ['prompts/get', { name: `${name}__tell`, arguments: { topic: 'x' } }],
        ['resources/read', { uri: `${name}+echo://tell` }],
        ['resources/read', { uri: 'echo://tell' }],
        ['completion/complete', { ref: { type: 'ref/prompt', name: `${name}__tell` }, argument: { name: 'topic', value: 'x' } }],
        ['tools/call', { name: `${name}__tell`, arguments: {}, _meta: { progressToken: 7 } }],
      ];
      for (const [method, params] of others) await provoke({ method: 'POST', path: `/mcp/${server.serverId}`, headers: asAlice(), body: rpc(method, params) });
      await provoke({ method: 'GET', path: `/api/connectors/${name}/actions?userId=alice`, headers: asAdmin() });
      await provoke({ method: 'POST', path: `/api/connectors/${name}/refresh?userId=alice`, headers: asAdmin() });
      await provoke({ method: 'GET', path: `/api/connectors/${name}?userId=alice`, headers: asAdmin() });
      await provoke({ method: 'POST', path: '/mcp/tool/call', headers: asAlice(), body: JSON.stringify({ serverName: name, methodName: 'tell', args: {} }) });
    }
    for (const { asked } of echoes) expect(asked.get('tools/call') ?? 0).toBeGreaterThanOrEqual(2);
    expect(leaks.splice(0)).toEqual([]);
  }, 60_000);

  it('says nothing of it when an upstream misbehaves in any way', async () => {
    const quick = Object.keys(behaviours).filter((name) => !['huge-json', 'huge-sse'].includes(name));
    await inParallel(quick.flatMap((name) => ['byheader', 'byquery'].map((id) => ({ id, name }))), 12, async ({ id, name }) => {
      await call(`${id}__${name}`, name === 'redirect' ? { location: `http://127.0.0.1:9/${tokens[0]}` } : {});
    });
    for (const id of ['nowhere', 'broken', 'newline', 'foreign-letters']) {
      await call(`${id}__whoami`);
      await provoke({ method: 'POST', path: '/mcp/tool/call', headers: asAlice(), body: JSON.stringify({ serverName: id, methodName: 'whoami', args: {} }) });
      await provoke({ method: 'POST', path: `/api/connectors/${id}/refresh?userId=alice`, headers: asAdmin() });
      await provoke({ method: 'GET', path: `/api/connectors/${id}?userId=alice`, headers: asAdmin() });
    }
    await provoke({ method: 'GET', path: '/status', headers: asAdmin() });
    expect(hostile.recorded.some(({ headers: sent }) => sent['x-evil'] !== undefined)).toBe(false);
    expect(leaks.splice(0)).toEqual([]);
  }, 60_000);

  it('does not repeat values that were sent to the wrong place', async () => {
    const value = canaries.make('misplaced');
    const post = (path: string, body: unknown, more: string[] = []) =>
      provoke({ method: 'POST', path, headers: [...asAdmin(), ...more], body: typeof body === 'string' ? body : JSON.stringify(body) });
    const secret = { username: 'alice', serverName: 'byheader', secretName: 'TOKEN', secretValue: value };
    await post('/secrets/set', { ...secret, serverName: value });
    await post('/secrets/set', { ...secret, secretName: value });
    await post('/secrets/set', { ...secret, username: value });
    await post('/secrets/set', { ...secret, secretValue: [value] });
    await post('/secrets/set', { ...secret, secretValue: { value } });
    await post('/secrets/set', { ...secret, secretValue: `${value}\u0000` });
    await post('/secrets/set', { ...secret, secretValue: `${value}${'x'.repeat(70_000)}` });
    await post('/secrets/set', JSON.stringify(secret).slice(0, -2));
    await post('/secrets/set', `${JSON.stringify(secret)} trailing`);
    await post('/secrets/set', `{"secretValue":"${canaries.stem}\\u00`);
    await post('/secrets/set', Buffer.concat([Buffer.from(JSON.stringify(secret)), Buffer.from([0xff])]).toString('latin1'));
    await post('/api/credentials', { userId: 'alice', connectorId: 'nowhere-at-all', authenticationType: 'secrets', fields: { TOKEN: value } });
    await post('/api/credentials', { userId: 'alice', connectorId: 'byheader', authenticationType: value, fields: { TOKEN: value } });
    await post('/api/credentials', { userId: 'alice', connectorId: 'byheader', authenticationType: 'secrets', credentialId: value });
    await post('/api/connectors', { connectorId: 'bad1', kind: 'mcp-http', url: `https://user:${encodeURIComponent(value)}@example.test/` });
    await post('/api/connectors', { connectorId: 'bad2', kind: 'mcp-http', url: `ftp://example.test/${encodeURIComponent(value)}` });
    await post('/api/connectors', { connectorId: 'bad3', kind: 'mcp-http', url: 'https://example.test/', headers: { authorization: value } });
    await post('/api/connectors', { connectorId: 'bad4', kind: 'mcp-http', url: 'https://example.test/', inject: { headers: { a: `{{${value}}}` } } });
    await post('/api/connectors', { connectorId: 'bad5', kind: value, url: value });
    await post('/keys/revoke', { api_key: value });
    await post('/users/alice/keys', { key_name: 'k', kind: value });
    await post('/api/servers', { name: `-${value}` });
    await post('/mcp/tool/call', { serverName: value, methodName: 'x', args: {} });
    await post('/mcp/tool/call', { serverName: 'byheader', methodName: 'echo-secrets', args: value });
    await post('/mcp', rpc('tools/call', { name: 'byheader__echo-secrets', arguments: value }));
    await post('/mcp', JSON.stringify({ jsonrpc: '2.0', id: 1, params: { value }, result: value, error: value }));
    await post('/mcp', rpc('initialize', { protocolVersion: [value], capabilities: value, clientInfo: value }));
    await post('/users', { username: 'carl' }, ['idempotency-key', `${value} ${'x'.repeat(300)}`]);
    await post('/users', { username: 'carl' }, ['x-request-id', value, 'cookie', `session=${value}`, 'x-api-key', value]);
    expect(leaks.splice(0)).toEqual([]);
    // A name that is not known may be said back to whoever wrote it, and to nobody else.
    for (const path of ['/secrets/set', '/api/servers', '/users', '/api/connectors', '/mcp/tool/call']) await provoke({ method: 'POST', path, headers: asAdmin(), body: JSON.stringify({ [value]: value }) }, { mayEcho: true });
    await provoke({ method: 'GET', path: `/api/servers?${encodeURIComponent(value)}=1&token=${encodeURIComponent(value)}`, headers: asAdmin() }, { mayEcho: true });
    await provoke({ method: 'POST', path: '/mcp', headers: asAdmin(), body: rpc('tools/call', { name: value }) }, { mayEcho: true });
    await provoke({ method: 'POST', path: '/mcp', headers: asAdmin(), body: rpc(value, {}) }, { mayEcho: true });
  });

  it('writes down no token that stands in a path, a header or a field where it does not belong', async () => {
    const all = [rig.admin, key, server.accessToken];
    for (const token of all) {
      for (const path of [`/mcp/${server.serverId}/${token}/more`, `/nowhere/${token}`, `/mcp/nowhere/${token}`, `/users/${token}`, `/api/keys/${token}`, `/?t=${token}`, `/%zz/${token}`]) {
        for (const method of ['GET', 'POST', 'DELETE', 'PATCH', 'OPTIONS']) {
          await wire.send({ method, path, headers: method === 'POST' ? asAdmin() : ['authorization', `Bearer ${rig.admin}`] });
        }
      }
      for (const scheme of ['Token', 'Basic', 'bearer:', '']) await wire.send({ method: 'GET', path: '/api/me', headers: ['authorization', `${scheme} ${token}`.trim()] });
      // An Idempotency-Key is not among them: its sender asks for it to be kept.
      for (const name of ['x-request-id', 'x-alloy-userid', 'x-credential-id', 'x-mcp-server-id', 'origin', 'mcp-session-id', 'traceparent', 'referer', 'x-alloy-user-token']) {
        await wire.send({ method: 'POST', path: `/mcp/${server.serverId}`, headers: [...asAdmin(), name, token], body: rpc('tools/list') });
        await wire.send({ method: 'POST', path: `/mcp/${fallback.serverId}`, headers: [...asAdmin(), name, token], body: rpc('tools/call', { name: 'byheader__sse', arguments: {} }) });
        await wire.send({ method: 'GET', path: '/api/servers', headers: [...asAdmin(), name, token] });
      }
      for (const name of [token, `byheader__${token}`]) await wire.send({ method: 'POST', path: '/mcp', headers: asAdmin(), body: rpc('tools/call', { name, arguments: { token } }) });
      await wire.send({ method: 'POST', path: '/mcp/tool/call', headers: asAdmin(), body: JSON.stringify({ serverName: 'byheader', methodName: token, args: { token } }) });
      await wire.send({ method: 'POST', path: '/mcp/tool/call', headers: asAdmin(), body: JSON.stringify({ serverName: 'byheader', methodName: 'sse', args: {}, username: token }) });
      await wire.send({ method: 'POST', path: '/keys/revoke', headers: asAdmin(), body: JSON.stringify({ key_id: token }) });
    }
    const answer = await wire.send({ method: 'GET', path: '/api/me', headers: asAdmin() });
    expect(answer.status).toBe(200);
  }, 60_000);

  it('leaves nothing of all this in the log, in what is printed, and in the database', async () => {
    await rig.gateway.gateway.parts.journal.flush();
    const lines = await withReader(database, rig.gateway.gateway.parts.db, (read) => dumpTables(read));
    const found = lines.flatMap((line) => {
      const what = canaries.find(line) ?? tokens.find((token) => line.includes(token));
      return what === undefined ? [] : [`${what} in ${line.slice(0, 400)}`];
    });
    expect(lines.length).toBeGreaterThan(200);
    expect(found).toEqual([]);
    expect(log.lines).toBeGreaterThan(500);
    expect(log.leaks).toEqual([]);
    const shown = printed.join('');
    expect(canaries.find(shown) ?? tokens.find((token) => shown.includes(token))).toBeUndefined();
  });

  it('would have noticed: the search finds a canary in each encoding, anywhere in a text', () => {
    const value = canaries.make('control');
    for (const [name, encode] of Object.entries(encodings)) expect([name, canaries.find(`${randomBytes(3).toString('hex')}${encode(value)}tail`) !== undefined]).toEqual([name, true]);
    expect(canaries.find(randomBytes(200).toString('base64'))).toBeUndefined();
  });
});
