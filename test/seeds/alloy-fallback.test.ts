// Seed alloy-user-management: "Invalid users fall back to default context", as the text says, when the operator asks for it. Checklist point 3.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toolJson } from '../support/gateway.ts';
import { type AlloyScene, type PublishedServer, startAlloyScene } from './alloy-scene.ts';
import { exampleJson } from './example.ts';

const list = { method: 'tools/call', params: { name: 'list_connectors_alloy', arguments: {} } };
const post = {
  method: 'tools/call',
  params: { name: 'execute_action_alloy', arguments: { connectorId: 'slack', actionId: 'chat_postMessage' } },
};
const stranger = { headers: { 'x-alloy-userid': 'invalid-user-id' } };

let scene: AlloyScene;
let server: PublishedServer;
beforeAll(async () => {
  scene = await startAlloyScene({ env: { VALET_ON_UNKNOWN_USER: 'fallback' } });
  server = await scene.publish('fallback');
});
afterAll(() => scene?.close());

describe('an unknown user on a server that falls back', () => {
  const warning = () => exampleJson('alloy-user-management/invalid-user-id.json', { primary_account_id: 'default' });

  it('is told with the printed body, in the result, its _meta and a header', async () => {
    const answer = await scene.rig.rpc(server.path, list, stranger);
    expect(answer.status).toBe(200);
    expect(toolJson(answer)).toEqual(await warning());
    expect(answer.body.result._meta['mcp-valet/userFallback']).toEqual(await warning());
    expect(answer.headers.get('x-valet-user-fallback')).toBe('default');
    expect(JSON.parse(answer.body.result.content[1].text).connectors).toHaveLength(4);
  });

  it('runs in the default context: with no credentials of anybody', async () => {
    const answer = await scene.rig.rpc(server.path, post, stranger);
    expect(JSON.parse(answer.body.result.content[1].text).error).toBe(
      'No credentials found for default on connector slack',
    );
    expect(scene.upstream.calls).toEqual([]);
  });

  it('is logged as an attempt', async () => {
    await scene.rig.rpc(server.path, list, { headers: { ...stranger.headers, 'x-request-id': 'fallback-1' } });
    await expect
      .poll(() => scene.rig.manage('GET', '/api/audit?requestId=fallback-1').then((page) => page.events))
      .toMatchObject([
        { action: 'user.override', outcome: 'ok', reason: 'fallback', attemptedUser: 'invalid-user-id' },
      ]);
  });

  it('is refused before anything runs when the request is strict', async () => {
    const headers = { ...stranger.headers, 'x-valet-strict-user': 'true' };
    const answer = await scene.rig.rpc(server.path, list, { headers });
    expect(answer).toMatchObject({ status: 403, body: { error: { code: 403, data: { code: 'USER_NOT_FOUND' } } } });
  });

  it('does not include a disabled user, who is refused', async () => {
    await scene.rig.manage('PATCH', '/users/user_abc123/enable', { enabled: false });
    const answer = await scene.rig.rpc(server.path, list, { headers: { 'x-alloy-userid': 'user_abc123' } });
    expect(answer).toMatchObject({ status: 403, body: { error: { code: 403, data: { code: 'USER_DISABLED' } } } });
  });
});
