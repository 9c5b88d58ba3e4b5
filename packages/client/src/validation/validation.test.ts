// Replies compared with the contract: what is a mismatch, what is only newer, and that a finding holds no value of the reply.
import { describe, expect, it } from 'vitest';
import { type ClientOptions, MCPClient, ResponseError } from '../index.ts';
import { json, type StandIn, standIn } from '../stand-in.test-support.ts';
import { validation } from './index.ts';

const canary = 'ValueCanary0123456789';
const user = {
  username: 'alice',
  user_id: 'usr_1',
  email: null,
  description: null,
  enabled: true,
  created_at: '2026-01-01T00:00:00.000Z',
  mcp_allowed: [],
  mcp_blocked: [],
  metadata: {},
  api_keys: [],
};

/** A client whose log is kept, and a server with one answer. */
async function logged(
  answer: unknown,
  mode: 'warn' | 'strict' | undefined,
): Promise<StandIn & { client: MCPClient; lines: string[] }> {
  const server = await standIn((_, r) => json(r, 200, answer, { 'x-request-id': 'req_7' }));
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const options: ClientOptions = { logger: { debug: write, info: write, warn: write, error: write } };
  if (mode) options.responseValidation = validation(mode);
  return { ...server, lines, client: new MCPClient({ baseUrl: server.url, apiKey: 'k', ...options }) };
}

describe('a reply that is not what the contract says', () => {
  const wrong = { status: 'created', key_id: 7, api_key: canary, key_name: { [canary]: canary } };
  const create = (client: MCPClient) => client.keys.create('alice', { keyName: 'n' });

  it('passes unseen by default', async () => {
    const { client, lines } = await logged(wrong, undefined);
    expect(await create(client)).toMatchObject({ keyId: 7 });
    expect(lines).toEqual([]);
  });

  it('is told by place and kind, and returned all the same', async () => {
    const { client, lines } = await logged(wrong, 'warn');
    expect(await create(client)).toMatchObject({ keyId: 7 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^\[mcp-valet\] keys\.create: The answer is not what the contract says: .*key_id is not string/,
    );
    expect(lines[0]).toMatch(/, req_7$/);
    expect(lines.join()).not.toContain(canary.slice(0, 12));
  });

  it('throws when strict, says that the change was made, and is not sent again', async () => {
    const { client, seen } = await logged(wrong, 'strict');
    const error = await create(client).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ResponseError);
    expect(error).toMatchObject({ code: 'MISMATCHED_ANSWER', executed: 'yes', retryable: false, requestId: 'req_7' });
    expect((error as ResponseError).details?.['issues']).toContain('key_id is not string');
    expect(JSON.stringify(error)).not.toContain(canary.slice(0, 12));
    expect(seen).toHaveLength(1);
  });

  it('throws when strict for reads too, where nothing ran', async () => {
    const { client } = await logged({ users: 'none' }, 'strict');
    await expect(client.users.list()).rejects.toMatchObject({ code: 'MISMATCHED_ANSWER', executed: 'no' });
  });
});

describe('a reply that is only newer', () => {
  it.each([
    ['has a field more', { ...user, shoe_size: 43 }],
    ['is what the contract says', user],
  ])('passes when it %s', async (_, answer) => {
    const { client, lines } = await logged(answer, 'strict');
    expect(await client.users.get('alice')).toMatchObject({ username: 'alice' });
    expect(lines).toEqual([]);
  });

  it('passes with a word that the contract does not have, but not with another literal or type', () => {
    const { check } = validation('warn');
    const me = { keyId: null, kind: 'ent', accountId: 'acc_1', user: null, limits: {} };
    const problemsOf = (kind: unknown) =>
      check('GET', '/api/me', { ...me, kind }).filter((each) => each.startsWith('kind'));
    expect(problemsOf('ent')).toEqual([]);
    expect(problemsOf('superb')).toEqual([]);
    expect(problemsOf(7)).toHaveLength(1);
    const deleted = (status: string) => check('DELETE', '/users/{username}', { status, username: 'a' });
    expect(deleted('undone').filter((each) => each.startsWith('status'))).toHaveLength(1);
  });

  it('passes on a route that the contract does not have', () => {
    expect(validation('strict').check('GET', '/api/new', 7)).toEqual([]);
  });
});

it('takes warn or strict', () => {
  expect(() => validation('loud' as never)).toThrow('validation takes warn or strict');
});
