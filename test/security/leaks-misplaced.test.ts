// LOG-1, from the caller's side: secrets and tokens in fields, headers, paths and names where they do not belong. No answer repeats them, and
// nothing of them stays in the log, in what is printed, and in the rows.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { LeakStage, rpc } from './support/leak-stage.ts';

describe.each(testDatabases())('secrets in the wrong place on $kind', ({ kind }) => {
  let stage: LeakStage;

  beforeAll(async () => {
    stage = await LeakStage.open(kind);
  });
  afterAll(() => stage?.close());

  it('does not repeat values that were sent to the wrong place', async () => {
    const value = stage.canaries.make('misplaced');
    const post = (path: string, body: unknown, more: string[] = []) =>
      stage.provoke({
        method: 'POST',
        path,
        headers: [...stage.asAdmin, ...more],
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
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
    await post('/secrets/set', `{"secretValue":"${stage.canaries.stem}\\u00`);
    await post(
      '/secrets/set',
      Buffer.concat([Buffer.from(JSON.stringify(secret)), Buffer.from([0xff])]).toString('latin1'),
    );
    await post('/api/credentials', {
      userId: 'alice',
      connectorId: 'nowhere-at-all',
      authenticationType: 'secrets',
      fields: { TOKEN: value },
    });
    await post('/api/credentials', {
      userId: 'alice',
      connectorId: 'byheader',
      authenticationType: value,
      fields: { TOKEN: value },
    });
    await post('/api/credentials', {
      userId: 'alice',
      connectorId: 'byheader',
      authenticationType: 'secrets',
      credentialId: value,
    });
    await post('/api/connectors', {
      connectorId: 'bad1',
      kind: 'mcp-http',
      url: `https://user:${encodeURIComponent(value)}@example.test/`,
    });
    await post('/api/connectors', {
      connectorId: 'bad2',
      kind: 'mcp-http',
      url: `ftp://example.test/${encodeURIComponent(value)}`,
    });
    await post('/api/connectors', {
      connectorId: 'bad3',
      kind: 'mcp-http',
      url: 'https://example.test/',
      headers: { authorization: value },
    });
    await post('/api/connectors', {
      connectorId: 'bad4',
      kind: 'mcp-http',
      url: 'https://example.test/',
      inject: { headers: { a: `{{${value}}}` } },
    });
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
    await post('/users', { username: 'carl' }, [
      'x-request-id',
      value,
      'cookie',
      `session=${value}`,
      'x-api-key',
      value,
    ]);
    expect(stage.leaks.splice(0)).toEqual([]);
    // A name that is not known may be said back to whoever wrote it, and to nobody else.
    for (const path of ['/secrets/set', '/api/servers', '/users', '/api/connectors', '/mcp/tool/call'])
      await stage.provoke(
        { method: 'POST', path, headers: stage.asAdmin, body: JSON.stringify({ [value]: value }) },
        { mayEcho: true },
      );
    await stage.provoke(
      {
        method: 'GET',
        path: `/api/servers?${encodeURIComponent(value)}=1&token=${encodeURIComponent(value)}`,
        headers: stage.asAdmin,
      },
      { mayEcho: true },
    );
    await stage.provoke(
      { method: 'POST', path: '/mcp', headers: stage.asAdmin, body: rpc('tools/call', { name: value }) },
      { mayEcho: true },
    );
    await stage.provoke(
      { method: 'POST', path: '/mcp', headers: stage.asAdmin, body: rpc(value, {}) },
      { mayEcho: true },
    );
  });

  it('writes down no token that stands in a path, a header or a field where it does not belong', async () => {
    const all = [stage.rig.admin, stage.key, stage.server.accessToken];
    for (const token of all) {
      for (const path of [
        `/mcp/${stage.server.serverId}/${token}/more`,
        `/nowhere/${token}`,
        `/mcp/nowhere/${token}`,
        `/users/${token}`,
        `/api/keys/${token}`,
        `/?t=${token}`,
        `/%zz/${token}`,
      ]) {
        for (const method of ['GET', 'POST', 'DELETE', 'PATCH', 'OPTIONS']) {
          await stage.wire.send({
            method,
            path,
            headers: method === 'POST' ? stage.asAdmin : ['authorization', `Bearer ${stage.rig.admin}`],
          });
        }
      }
      for (const scheme of ['Token', 'Basic', 'bearer:', ''])
        await stage.wire.send({
          method: 'GET',
          path: '/api/me',
          headers: ['authorization', `${scheme} ${token}`.trim()],
        });
      // An Idempotency-Key is not among them: its sender asks for it to be kept.
      for (const name of [
        'x-request-id',
        'x-alloy-userid',
        'x-credential-id',
        'x-mcp-server-id',
        'origin',
        'mcp-session-id',
        'traceparent',
        'referer',
        'x-alloy-user-token',
      ]) {
        await stage.wire.send({
          method: 'POST',
          path: `/mcp/${stage.server.serverId}`,
          headers: [...stage.asAdmin, name, token],
          body: rpc('tools/list'),
        });
        await stage.wire.send({
          method: 'POST',
          path: `/mcp/${stage.fallback.serverId}`,
          headers: [...stage.asAdmin, name, token],
          body: rpc('tools/call', { name: 'byheader__sse', arguments: {} }),
        });
        await stage.wire.send({ method: 'GET', path: '/api/servers', headers: [...stage.asAdmin, name, token] });
      }
      for (const name of [token, `byheader__${token}`])
        await stage.wire.send({
          method: 'POST',
          path: '/mcp',
          headers: stage.asAdmin,
          body: rpc('tools/call', { name, arguments: { token } }),
        });
      await stage.wire.send({
        method: 'POST',
        path: '/mcp/tool/call',
        headers: stage.asAdmin,
        body: JSON.stringify({ serverName: 'byheader', methodName: token, args: { token } }),
      });
      await stage.wire.send({
        method: 'POST',
        path: '/mcp/tool/call',
        headers: stage.asAdmin,
        body: JSON.stringify({ serverName: 'byheader', methodName: 'sse', args: {}, username: token }),
      });
      await stage.wire.send({
        method: 'POST',
        path: '/keys/revoke',
        headers: stage.asAdmin,
        body: JSON.stringify({ key_id: token }),
      });
    }
    const answer = await stage.wire.send({ method: 'GET', path: '/api/me', headers: stage.asAdmin });
    expect(answer.status).toBe(200);
  }, 60_000);

  it('leaves nothing of it in the log, in what is printed, and in the database', async () => {
    const { found, rows } = await stage.residue();
    expect(found).toEqual([]);
    expect(rows).toBeGreaterThan(60);
    expect(stage.log.lines).toBeGreaterThan(150);
  });
});
