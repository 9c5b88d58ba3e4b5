// Slack's own description of its Web API (OpenAPI 2.0, 174 operations) as a REST upstream: imported whole within its limits, every operation
// described, and calls that arrive byte-correct with the token of the user who made them.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RestCarrier } from '../../packages/server/src/connectors/backends/http.ts';
import type { Egress } from '../../packages/server/src/connectors/egress.ts';
import { actionItems } from '../../packages/server/src/connectors/openapi/describe.ts';
import { importDocument } from '../../packages/server/src/connectors/openapi/import.ts';
import { callOf } from '../support/raw-upstream.ts';
import { restCarrier, restUpstreamOf } from '../support/rest-upstream.ts';
import { type SlackStandIn, startSlackStandIn } from '../support/slack-stand-in.ts';

const file = fileURLToPath(new URL('../fixtures/openapi/slack-web-api.swagger2.json', import.meta.url));
const document = JSON.parse(readFileSync(file, 'utf8')) as {
  paths: Record<string, Record<string, { operationId: string; parameters: { name: string; required?: boolean }[] }>>;
};
const described = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, ...operation })),
);
const { compiled, warnings } = importDocument(document);

describe('the Slack document', () => {
  it('imports whole in under 2 s and under 150 MB', async () => {
    const script = fileURLToPath(new URL('./openapi-measure.ts', import.meta.url));
    const flags = ['--conditions=@mcp-valet/source', '--import', 'tsx'];
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, file], { timeout: 30_000 });
    const measured = JSON.parse(stdout);
    console.info('Slack import:', stdout);
    expect(measured).toMatchObject({ items: 174, warnings: [] });
    expect(measured.importMs + measured.describeMs).toBeLessThan(2_000);
    expect(measured.peakMb).toBeLessThan(150);
  });

  it('loses no operation, and describes each with its arguments', () => {
    expect(warnings).toEqual([]);
    const items = new Map(actionItems(compiled).map((item) => [item.name, item]));
    expect([...items.keys()].sort()).toEqual(described.map(({ operationId }) => operationId).sort());
    for (const { operationId, parameters, method } of described) {
      const item = items.get(operationId);
      const own = parameters.filter(({ name }) => name !== 'token');
      const names = (list: typeof own) => list.map(({ name }) => name).sort();
      const { properties = {}, required = [] } = (item?.inputSchema ?? {}) as {
        properties?: object;
        required?: string[];
      };
      expect(Object.keys(properties).sort(), operationId).toEqual(names(own));
      expect([...required].sort(), operationId).toEqual(names(own.filter((one) => one.required === true)));
      expect(item?.annotations).toMatchObject({ readOnlyHint: method === 'get', destructiveHint: false });
      expect(item?.['description']).toEqual(expect.stringMatching(/\S/));
    }
  });
});

describe('calls', () => {
  const tokens = { alice: 'xoxp-alice-000000000001', bob: 'xoxp-bob-0000000000000002' };
  let slack: SlackStandIn;
  let egress: Egress;
  let rest: RestCarrier;
  beforeAll(async () => {
    slack = await startSlackStandIn(new Map(Object.entries(tokens).map(([user, token]) => [token, user])));
    ({ egress, rest } = restCarrier(compiled));
  });
  afterAll(async () => {
    await egress.close();
    await slack.close();
  });
  beforeEach(() => slack.reset());

  const callAs = async (user: keyof typeof tokens, name: string, args: Record<string, unknown>) =>
    rest.request(restUpstreamOf(slack.url, { user, secrets: { ACCESS_TOKEN: tokens[user] } }), callOf(name, args));

  it.each([
    [
      'chat_postMessage',
      { channel: 'C1', text: 'Grüße & "quotes" 100% + 1/2\n🎉' },
      'channel=C1&text=Gr%C3%BC%C3%9Fe+%26+%22quotes%22+100%25+%2B+1%2F2%0A%F0%9F%8E%89',
    ],
    [
      'chat_postEphemeral',
      { channel: 'C1', user: 'U1', text: 'psst', as_user: true },
      'as_user=true&channel=C1&text=psst&user=U1',
    ],
    [
      'chat_update',
      { channel: 'C1', ts: '1.000100', blocks: [{ type: 'divider' }] },
      'blocks=%5B%7B%22type%22%3A%22divider%22%7D%5D&channel=C1&ts=1.000100',
    ],
    [
      'chat_unfurl',
      { channel: 'C1', ts: '1.1', unfurls: '{"a":"b"}', user_auth_required: false },
      'channel=C1&ts=1.1&unfurls=%7B%22a%22%3A%22b%22%7D&user_auth_required=false',
    ],
    ['conversations_create', { name: 'köln', is_private: true }, 'name=k%C3%B6ln&is_private=true'],
    ['conversations_invite', { channel: 'C1', users: 'U1,U2' }, 'channel=C1&users=U1%2CU2'],
    [
      'reactions_add',
      { channel: 'C1', name: 'thumbsup', timestamp: '1405894322.002768' },
      'channel=C1&name=thumbsup&timestamp=1405894322.002768',
    ],
    ['reminders_add', { text: 'eat a banana', time: 'in 5 minutes' }, 'text=eat+a+banana&time=in+5+minutes'],
    ['dnd_setSnooze', { num_minutes: 60 }, 'num_minutes=60'],
    ['users_profile_set', { profile: { status_text: 'out' } }, 'profile=%7B%22status_text%22%3A%22out%22%7D'],
    [
      'files_upload',
      { content: 'a=b&c', filename: 'ü.txt', thread_ts: '1700000000.000100' },
      'content=a%3Db%26c&filename=%C3%BC.txt&thread_ts=1700000000.000100',
    ],
    [
      'calls_add',
      { external_unique_id: 'x', join_url: 'https://example.com/?a=b', date_start: 0 },
      'external_unique_id=x&join_url=https%3A%2F%2Fexample.com%2F%3Fa%3Db&date_start=0',
    ],
  ])('to %s arrive as the form that the document describes', async (name, args, body) => {
    const { result } = await callAs('alice', name, args);
    const path = described.find(({ operationId }) => operationId === name)?.path;
    expect(slack.recorded).toHaveLength(1);
    const [request] = slack.recorded;
    expect({ method: request?.method, url: request?.url }).toEqual({ method: 'POST', url: `/api${path}` });
    // Fields are told apart by their names, their order is the caller's or the document's.
    expect(request?.body.toString('utf8').split('&').sort()).toEqual(body.split('&').sort());
    expect(request?.headers).toMatchObject({
      authorization: `Bearer ${tokens.alice}`,
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(Buffer.byteLength(body)),
    });
    expect(result).toMatchObject({ structuredContent: { ok: true } });
  });

  it.each([
    ['auth_test', {}, ''],
    ['api_test', { foo: 'a b&c', error: '' }, '?error=&foo=a%20b%26c'],
    [
      'conversations_list',
      { types: 'public_channel,private_channel', limit: 20, exclude_archived: true },
      '?exclude_archived=true&types=public_channel%2Cprivate_channel&limit=20',
    ],
    [
      'conversations_history',
      { channel: 'C1', oldest: '1512085950.000216', inclusive: false },
      '?channel=C1&oldest=1512085950.000216&inclusive=false',
    ],
    ['users_list', { cursor: 'dXNlcjpVMEc5V0ZYTlo=' }, '?cursor=dXNlcjpVMEc5V0ZYTlo%3D'],
    ['search_messages', { query: 'from:@bob "exact"', count: 5 }, '?count=5&query=from%3A%40bob%20%22exact%22'],
    [
      'views_open',
      { trigger_id: '1.2', view: '{"type":"modal"}' },
      '?trigger_id=1.2&view=%7B%22type%22%3A%22modal%22%7D',
    ],
    ['bots_info', { bot: '../admin?x#y' }, '?bot=..%2Fadmin%3Fx%23y'],
  ])('to %s arrive with the query that the document describes', async (name, args, query) => {
    const { result } = await callAs('bob', name, args);
    const path = described.find(({ operationId }) => operationId === name)?.path;
    expect(slack.recorded.map(({ method, url }) => `${method} ${url}`)).toEqual([`GET /api${path}${query}`]);
    const [request] = slack.recorded;
    expect(request?.headers.authorization).toBe(`Bearer ${tokens.bob}`);
    expect([request?.headers['content-type'], request?.body.length]).toEqual([undefined, 0]);
    expect(result['isError']).toBeUndefined();
  });

  it('of two users at a time carry each one’s own token', async () => {
    const turns = Array.from({ length: 40 }, (_, turn) => (turn % 2 === 0 ? 'alice' : 'bob'));
    await Promise.all(
      turns.map((user, turn) => callAs(user, 'chat_postMessage', { channel: 'C', text: `${turn} ${user}` })),
    );
    expect(slack.messages).toHaveLength(40);
    for (const { user, text } of slack.messages) expect(text.split(' ')[1]).toBe(user);
  });

  it('can name the token neither flat nor wrapped, and none is in a URL or body', async () => {
    const forged = { code: 'UNPROCESSABLE', message: 'Invalid parameters: token is set by the gateway' };
    await expect(
      callAs('alice', 'chat_postMessage', { channel: 'C', text: 't', token: tokens.bob }),
    ).rejects.toMatchObject(forged);
    await expect(callAs('alice', 'auth_test', { headers: { Authorization: tokens.bob } })).rejects.toMatchObject({
      message: 'Invalid parameters: headers.Authorization is set by the gateway',
    });
    await callAs('alice', 'conversations_list', {});
    expect(slack.recorded).toHaveLength(1);
    expect(slack.recorded[0]?.url).not.toContain('xoxp');
  });
});
