// Refusals, errors and fallbacks in every form a server may give them: the same meaning is the same class.
import { describe, expect, it } from 'vitest';
import {
  AnswerLostError,
  APIError,
  type ClientOptions,
  CredentialRequiredError,
  IdempotencyMismatchError,
  PermissionError,
  RpcError,
  ServerError,
  UpstreamError,
  UserFallbackError,
} from './index.ts';
import { clientOf, type Handler, json, rpcResult, textResult } from './stand-in.test-support.ts';

const once = (handler: Handler, options: ClientOptions = {}) => clientOf(handler, { maxRetries: 0, ...options });

/** The error of one execution answered with `result`. */
async function errorOf(result: unknown, options: ClientOptions = {}): Promise<unknown> {
  const { client } = await once((s, r) => rpcResult(s, r, result), options);
  const end = await client.executeForUser('alice', 'echo').safe();
  return end.ok ? undefined : end.error;
}

describe('refusals of the gateway', () => {
  const refusal = (code: string, more: object = {}) => ({
    ...textResult(JSON.stringify({ error: `Because of ${code}`, code, connectUrl: 'https://gw/connect/x' })),
    isError: true,
    _meta: { 'mcp-valet/error': { code, requestId: 'req_7', executed: 'no', retryable: false, ...more } },
  });

  it('inside a result throw the class of their code', async () => {
    expect(await errorOf(refusal('FORBIDDEN'))).toMatchObject({
      name: 'PermissionError',
      code: 'FORBIDDEN',
      status: 403,
      requestId: 'req_7',
      message: 'Because of FORBIDDEN',
      executed: 'no',
    });
    expect(await errorOf(refusal('UPSTREAM_TIMEOUT', { executed: 'unknown' }))).toMatchObject({
      name: 'UpstreamError',
      code: 'UPSTREAM_TIMEOUT',
      executed: 'unknown',
    });
    expect(await errorOf(refusal('ANSWER_NOT_KEPT', { executed: 'yes' }))).toBeInstanceOf(AnswerLostError);
    expect(await errorOf(refusal('IDEMPOTENCY_MISMATCH'))).toBeInstanceOf(IdempotencyMismatchError);
    expect(await errorOf(refusal('OUTCOME_UNKNOWN', { executed: 'unknown' }))).toMatchObject({
      name: 'OutcomeUnknownError',
      state: 'unknown',
    });
    expect(await errorOf(refusal('A_CODE_OF_NEXT_YEAR'))).toBeInstanceOf(APIError);
  });

  it('say where to connect an account, as data that is not printed', async () => {
    const connect = { url: 'https://gw/connect/abc', connector: 'slack', expiresAt: '2026-11-21T12:00:00Z' };
    const error = (await errorOf(refusal('REAUTH_REQUIRED', { connect }))) as CredentialRequiredError;
    expect(error).toBeInstanceOf(CredentialRequiredError);
    expect([error.connectUrl, error.connector, error.reason, error.expiresAt]).toEqual([
      connect.url,
      'slack',
      'reauth_required',
      connect.expiresAt,
    ]);
    expect(JSON.stringify(error)).not.toContain('connect/abc');
    expect(await errorOf(refusal('CREDENTIALS_REQUIRED'))).toMatchObject({
      reason: 'missing',
      connectUrl: 'https://gw/connect/x',
    });
  });

  it('give the same class as JSON-RPC error, HTTP status and REST envelope', async () => {
    const data = { code: 'USER_DISABLED', requestId: 'req_1', executed: 'no', retryable: false };
    const bodies: [number, object][] = [
      [200, { jsonrpc: '2.0', id: null, error: { code: 403, message: 'disabled', data } }],
      [403, { jsonrpc: '2.0', id: null, error: { code: 403, message: 'disabled', data } }],
      [403, { error: { code: 'USER_DISABLED', message: 'disabled' }, requestId: 'req_1' }],
      [403, { error: 'user_disabled', message: 'disabled', request_id: 'req_1' }],
      [403, { success: false, error: 'disabled', code: 'user_disabled', requestId: 'req_1' }],
    ];
    for (const [status, body] of bodies) {
      const { client } = await once((_, r) => json(r, status, body));
      const error = await client.executeForUser('a', 't').catch((e: unknown) => e);
      expect(error).toBeInstanceOf(PermissionError);
      expect(error).toMatchObject({ code: 'USER_DISABLED', message: 'disabled', requestId: 'req_1', status: 403 });
    }
  });

  it('of the direct call are told by their words', async () => {
    const words: [number, string, string, string][] = [
      [404, 'tool_not_found', 'NotFoundError', 'NOT_FOUND'],
      [403, 'not_allowed', 'PermissionError', 'FORBIDDEN'],
      [409, 'credentials_required', 'CredentialRequiredError', 'CREDENTIALS_REQUIRED'],
      [502, 'upstream_unreachable', 'UpstreamError', 'UPSTREAM_UNREACHABLE'],
      [504, 'upstream_timeout', 'UpstreamError', 'UPSTREAM_TIMEOUT'],
    ];
    for (const [status, code, name, known] of words) {
      const body = { success: false, error: 'no', code, requestId: 'r' };
      const { client } = await once((_, r) => json(r, status, body, { 'valet-idempotency': 'ttl=60, epoch="e"' }));
      await expect(client.forUser('a').runAction('c', 't')).rejects.toMatchObject({ name, code: known });
    }
  });

  it('are not believed of a stranger that fails with one of our words: nobody knows whether it ran', async () => {
    for (const [status, code] of [
      [502, 'UPSTREAM_UNREACHABLE'],
      [503, 'unavailable'],
    ] as const) {
      const { client, seen } = await once((_, r) => json(r, status, { error: { code, message: 'x' } }), {
        maxRetries: 2,
      });
      await expect(client.executeForUser('a', 't')).rejects.toMatchObject({ name: 'OutcomeUnknownError' });
      expect(seen.filter((s) => s.json?.method === 'tools/call')).toHaveLength(1);
    }
  });

  it('that ran nothing are tried again with a new key, never with the key of the caller', async () => {
    const busy = refusal('UPSTREAM_UNREACHABLE', { retryable: true, retryAfterMs: 1 });
    const { client, seen } = await once((s, r, n) => rpcResult(s, r, n === 1 || n === 3 ? busy : textResult('ok')), {
      maxRetries: 2,
    });
    expect((await client.executeForUser('a', 't')).text()).toBe('ok');
    expect(seen[0]?.headers['idempotency-key']).not.toBe(seen[1]?.headers['idempotency-key']);
    await expect(client.executeForUser('a', 't', {}, { idempotencyKey: 'mine' })).rejects.toBeInstanceOf(UpstreamError);
    expect(seen).toHaveLength(3);
  });
});

describe('errors of other servers', () => {
  it('are RpcError inside 200, whatever their number or text says', async () => {
    for (const error of [
      { code: -32602, message: 'Action x is not allowed for connector y' },
      { code: 429, message: 'Rate limit exceeded' },
      { code: 1, message: 'x', data: { code: 'EWHATEVER' } },
    ]) {
      const { client, seen } = await once((s, r) => json(r, 200, { jsonrpc: '2.0', id: s.json.id, error }), {
        maxRetries: 2,
      });
      const thrown = await client.executeForUser('a', 't').catch((e: unknown) => e);
      expect(thrown).toBeInstanceOf(RpcError);
      expect(thrown).toMatchObject({ rpcCode: error.code, message: error.message, executed: 'unknown' });
      expect(seen).toHaveLength(1);
    }
  });

  it('say that nothing ran where the server says so', async () => {
    const error = { code: -32602, message: 'Unknown tool: t', data: { executed: 'no' } };
    const { client } = await once((s, r) => json(r, 200, { jsonrpc: '2.0', id: s.json.id, error }));
    await expect(client.executeForUser('a', 't')).rejects.toMatchObject({ code: 'RPC', executed: 'no' });
  });

  it('ask to open a URL with code -32042', async () => {
    const error = {
      code: -32042,
      message: 'x',
      data: { elicitations: [{ mode: 'url', url: 'https://gw/sign-in', elicitationId: 'e' }] },
    };
    const { client } = await once((s, r) => json(r, 200, { jsonrpc: '2.0', id: s.json.id, error }));
    await expect(client.executeForUser('a', 't')).rejects.toMatchObject({
      name: 'CredentialRequiredError',
      connectUrl: 'https://gw/sign-in',
    });
  });

  it('leave text that sounds like a refusal a result', async () => {
    const { client } = await once((s, r) =>
      rpcResult(s, r, textResult('{"error":"No credentials found for a on connector b"}')),
    );
    expect((await client.executeForUser('a', 't')).isError).toBe(false);
  });

  it('of a crashed gateway leave the outcome unknown', async () => {
    const body = { error: { code: 'INTERNAL_ERROR', message: 'x' }, requestId: 'req_9' };
    const { client } = await once((_, r) => json(r, 500, body));
    const error = await client.executeForUser('a', 't').catch((e: unknown) => e);
    expect(error).toMatchObject({
      name: 'OutcomeUnknownError',
      requestId: 'req_9',
      details: { code: 'INTERNAL_ERROR' },
    });
    expect((error as Error).cause).toBeInstanceOf(ServerError);
  });
});

describe('a call that ran as somebody else', () => {
  const fallback = { warning: 'Invalid x-alloy-userid header', attempted: 'ghost', fallback: 'default' };
  const places: Record<string, (id: string) => object> = {
    'in _meta': (id) => ({
      jsonrpc: '2.0',
      id,
      result: { ...textResult('x'), _meta: { 'mcp-valet/userFallback': fallback } },
    }),
    'in the result': (id) => ({ jsonrpc: '2.0', id, result: { ...textResult('x'), ...fallback } }),
    'instead of the result': (id) => ({ jsonrpc: '2.0', id, result: fallback }),
    'in the only text block': (id) => ({ jsonrpc: '2.0', id, result: textResult(JSON.stringify(fallback)) }),
    'as the body': () => fallback,
  };
  for (const [place, body] of Object.entries(places)) {
    it(`throws when the server says so ${place}`, async () => {
      const { client } = await once((s, r) => json(r, 200, body(s.json.id)));
      const error = (await client.executeForUser('ghost', 't').catch((e: unknown) => e)) as UserFallbackError;
      expect(error).toBeInstanceOf(UserFallbackError);
      expect([error.attempted, error.fallback, error.executed, error.retryable]).toEqual([
        'ghost',
        'default',
        'yes',
        false,
      ]);
    });
  }

  it('is returned when the caller accepts it, and then not forbidden beforehand', async () => {
    const { client, seen } = await once((s, r) => json(r, 200, places['in _meta']?.(s.json.id)), {
      onUserFallback: 'return',
      logLevel: 'off',
    });
    expect((await client.executeForUser('ghost', 't')).text()).toBe('x');
    expect(seen[0]?.headers['x-valet-strict-user']).toBeUndefined();
  });

  it('is not guessed from a tool that answers similar fields', async () => {
    const { client } = await once((s, r) => rpcResult(s, r, textResult('{"attempted":"a","fallback":"b"}')));
    expect((await client.executeForUser('a', 't')).json()).toEqual({ attempted: 'a', fallback: 'b' });
  });
});
