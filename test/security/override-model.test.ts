// ISO-3: whom a request acts for, in 50,000 generated combinations of key, path token, user token, header, body, doubles, letters, Unicode,
// size and policy. The effective user is the model's in every case, and so is what is written down: each attempt to act for somebody has
// exactly the rows of the model, under its request id. The bulk asks the gateway's functions on a real database; thousands go over a socket.
import { contract } from '@mcp-valet/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Parts } from '../../packages/server/src/context.ts';
import type { Directory } from '../../packages/server/src/identity/directory.ts';
import { identifyRequest, unauthorized } from '../../packages/server/src/identity/identify.ts';
import { mayUse } from '../../packages/server/src/identity/principal.ts';
import { runCall, type Step } from '../../packages/server/src/mcp/call.ts';
import { resolveCaller } from '../../packages/server/src/mcp/caller.ts';
import { findServer } from '../../packages/server/src/mcp/find-server.ts';
import type { CallRequest } from '../../packages/server/src/mcp/request.ts';
import { Refusal } from '../../packages/server/src/refusal.ts';
import { writtenRows } from './support/override-rows.ts';
import { type Case, type Expected, expectedOf, isName, kept, type Row } from './support/override-rules.ts';
import {
  buildOverrideWorld,
  headersOf,
  type OverrideWorld,
  type Sending,
  sendings,
  uncarried,
} from './support/override-world.ts';
import { exchange, head } from './support/raw-socket.ts';
import { inParallel, json, Wire } from './support/wire.ts';

const seed = Number(process.env['VALET_FUZZ_SEED'] ?? Date.now() % 2 ** 31);
const inProcess = 47_000;
const overSockets = 3_000;

let world: OverrideWorld;
beforeAll(async () => {
  world = await buildOverrideWorld();
}, 60_000);
afterAll(() => world?.close());

const described = ({ held, case: asked }: Sending): string =>
  `seed ${seed}: ${held?.name ?? 'nothing'} ${JSON.stringify({ ...asked, header: asked.header?.slice(0, 140), body: asked.body?.slice(0, 140) })}`;
const shown = (rows: readonly Row[]): string => JSON.stringify(rows.map((row) => JSON.stringify(row)).sort());
/** Every way a case may end must be among the generated ones, or the count of cases says little. */
function expectVariety(kinds: ReadonlyMap<string, number>, least: number): void {
  const wanted = [
    'runs',
    'runs by fallback',
    'FORBIDDEN',
    'INVALID_REQUEST',
    'NOT_FOUND',
    'UNAUTHORIZED',
    'USER_DISABLED',
    'USER_NOT_FOUND',
  ];
  expect(wanted.filter((kind) => (kinds.get(kind) ?? 0) < least)).toEqual([]);
}
const count = (kinds: Map<string, number>, { result, fallback }: Expected): void => {
  const kind = fallback ? `${result} by fallback` : result;
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
};

describe('the override model', () => {
  it(`is obeyed by ${inProcess} requests, and the rows written are one for one`, async () => {
    const rows = new Map<string, Row[]>();
    const write = (requestId: string | undefined, row: Row): void => {
      const id = requestId ?? 'none';
      rows.set(id, [...(rows.get(id) ?? []), row]);
    };
    const gateway = world.rig.gateway.gateway.parts;
    const parts: Parts = {
      ...gateway,
      directory: rememberingMisses(gateway.directory),
      trail: {
        ...gateway.trail,
        async refused({ requestId, action, outcome, userId = null, attemptedUser = null }) {
          write(requestId, { book: 'trail', action, outcome, userId, attempted: attemptedUser });
        },
      },
      journal: {
        ...gateway.journal,
        async begin({ requestId, userId = null, attemptedUser = null, completed }) {
          const outcome = completed?.outcome ?? 'open';
          write(requestId, { book: 'journal', action: 'call', outcome, userId, attempted: attemptedUser });
          return undefined;
        },
      },
    };
    const next = sendings(world, seed);
    const kinds = new Map<string, number>();
    const attempts = { expected: 0, written: 0 };
    for (let batch = 0; batch * 500 < inProcess; batch++) {
      const sent = Array.from({ length: 500 }, (_, i) => ({ id: `${batch}-${i}`, ...inCode(next()) }));
      rows.clear();
      await inParallel(sent, 8, async (sending) => {
        const outcome = await ask(sending, sending.id, parts);
        const expected = expectedOf(world.model, sending.case);
        count(kinds, expected);
        const found = [outcome.result, outcome.userId, outcome.fallback ?? false, outcome.signIns];
        expect(found, described(sending)).toEqual([
          expected.result,
          expected.userId,
          expected.fallback ?? false,
          expected.signIns,
        ]);
      });
      for (const sending of sent) {
        const expected = expectedOf(world.model, sending.case).rows;
        const written = rows.get(sending.id) ?? [];
        if (shown(written) !== shown(expected)) expect(shown(written), described(sending)).toBe(shown(expected));
        attempts.expected += expected.filter(({ attempted }) => attempted !== null).length;
      }
      for (const written of rows.values())
        attempts.written += written.filter(({ attempted }) => attempted !== null).length;
    }
    expect(attempts.written, `seed ${seed}`).toBe(attempts.expected);
    expect(attempts.expected).toBeGreaterThan(inProcess / 5);
    expectVariety(kinds, 200);
  }, 120_000);

  it(`is obeyed by ${overSockets} requests over a socket, and the rows in the database are one for one`, async () => {
    const next = sendings(world, seed + 1);
    const sent = Array.from({ length: overSockets }, (_, i) => ({ id: `override-${i}`, ...overWire(next()) }));
    const wire = new Wire(world.rig.url, 16);
    const kinds = new Map<string, number>();
    const problems: string[] = [];
    try {
      await inParallel(sent, 16, async (sending, i) => {
        const { case: asked } = sending;
        const expected = expectedOf(world.model, asked);
        count(kinds, expected);
        // Each from an address of its own: of one source the trail writes 60 a minute and counts the rest.
        const from = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
        const answer = await wire.send({
          method: 'POST',
          path: pathOf(sending),
          headers: [
            'content-type',
            'application/json',
            'x-request-id',
            sending.id,
            'x-forwarded-for',
            from,
            ...headersOf(sending),
          ],
          body: bodyOf(asked),
        });
        const problem = wrongAnswer(asked, expected, answer);
        if (problem !== undefined)
          problems.push(`${described(sending)}: ${problem}: ${answer.status} ${answer.text.slice(0, 200)}`);
      });
    } finally {
      await wire.close();
    }
    expect(problems.slice(0, 10)).toEqual([]);
    const written = await writtenRows(world, 'override');
    const wrong = sent.flatMap((sending) => {
      const { rows, signIns } = expectedOf(world.model, sending.case);
      const expected = rows.map((row) => ({ ...row, attempted: row.attempted?.slice(0, 100) ?? null }));
      const found = written.get(sending.id) ?? { rows: [], signIns: 0 };
      return shown(found.rows) === shown(expected) && found.signIns === signIns
        ? []
        : [`${described(sending)}: ${shown(found.rows)} ${found.signIns} instead of ${shown(expected)} ${signIns}`];
    });
    expect(wrong.slice(0, 10)).toEqual([]);
    expectVariety(kinds, 20);
  }, 120_000);

  it('holds for a call that is sent again: the answer is the first one, the attempt is another', async () => {
    const key = world.held.find(({ name }) => name === 'enterprise')?.text;
    for (const id of ['again-1', 'again-2']) {
      const body = { username: 'alice', serverName: 'demo', methodName: 'echo', args: { text: 'x' } };
      const headers = { 'x-request-id': id, 'idempotency-key': 'once' };
      expect((await world.rig.send('/mcp/tool/call', { key, body, headers })).status).toBe(200);
    }
    const written = await writtenRows(world, 'again');
    const { id: userId } = world.model.users.home.find(({ username }) => username === 'alice') as { id: string };
    const row = { outcome: 'ok', userId, attempted: 'alice' };
    expect(written.get('again-1')?.rows).toEqual([{ book: 'journal', action: 'call', ...row }]);
    expect(written.get('again-2')?.rows).toEqual([{ book: 'trail', action: 'user.override', ...row }]);
  });

  it('refuses control characters in a header before anybody is asked who it is', async () => {
    const port = Number(new URL(world.rig.url).port);
    const admin = world.held[0]?.text;
    for (const [i, byte] of ['\u0000', '\u0001', '\n', '\r', '\u001b', '\u007f'].entries()) {
      const headers = {
        host: '127.0.0.1',
        authorization: `Bearer ${admin}`,
        'x-request-id': `control-${i}`,
        'x-alloy-userid': `alice${byte}x`,
      };
      const answer = await exchange(port, [head('POST', '/mcp', { ...headers, 'content-length': 0 })], {
        patienceMs: 1_000,
      });
      expect([i, answer.status]).toEqual([i, 400]);
    }
    const sql = `select count(*)::int as rows from audit_events where request_id like 'control-%'`;
    expect(await world.rig.sql(world.accountIds.home, sql)).toEqual([{ rows: 0 }]);
  });
});

/** The functions are handed a name as it is: a body that the schema refuses never reaches them. */
function inCode(sending: Sending): Sending {
  const { body } = sending.case;
  return body === undefined || isName(body) ? sending : { ...sending, case: { ...sending.case, body: undefined } };
}

/** The directory keeps no misses, rightly. Nobody comes into being here, so each name and key that is not there is looked up once. */
function rememberingMisses(directory: Directory): Directory {
  const missing = new Set<string>();
  const once = async <T>(key: string, look: () => Promise<T | undefined>): Promise<T | undefined> => {
    if (missing.has(key)) return undefined;
    const found = await look();
    if (found === undefined) missing.add(key);
    return found;
  };
  return {
    ...directory,
    user: (account, ref) => once(`user ${account} ${ref}`, () => directory.user(account, ref)),
    principal: (hash) => once(`key ${Buffer.from(hash).toString('hex')}`, () => directory.principal(hash)),
    server: (account, id) => once(`server ${account} ${id}`, () => directory.server(account, id)),
  };
}

interface Outcome {
  result: string;
  userId?: string | undefined;
  fallback?: boolean;
  signIns: number;
}

/** What the routes do around the functions: sign-in, the server, the call. */
async function ask(sending: Sending, requestId: string, parts: Parts): Promise<Outcome> {
  const { case: asked, held } = sending;
  const isRest = asked.at === 'rest';
  const rawHeaders = headersOf(sending);
  const headers: Record<string, string> = {};
  for (let i = 0; i < rawHeaders.length; i += 2)
    headers[(rawHeaders[i] as string).toLowerCase()] ??= rawHeaders[i + 1] as string;
  const serverId = isRest || asked.at === 'aggregate' ? undefined : (world.serverIds[asked.at] as string);
  const refusalOf = (error: unknown): Refusal => {
    if (error instanceof Refusal) return error;
    throw error;
  };
  const place = isRest ? {} : { pathToken: asked.inPath ? held?.text : undefined, serverId };
  const principal = await identifyRequest({ headers, rawHeaders }, parts, place)
    .then((found) => {
      if (isRest && !mayUse(contract.tools.call, found.kind)) throw new Refusal('FORBIDDEN', 'kind');
      if (!isRest && found.kind === 'url' && !asked.inPath) throw unauthorized('place');
      return found;
    })
    .catch(refusalOf);
  if (principal instanceof Refusal) return { result: principal.code, signIns: principal.status === 400 ? 0 : 1 };
  const config = { ...parts.config, onUnknownUser: asked.onUnknown };
  try {
    const call: CallRequest = {
      parts: { ...parts, config },
      principal,
      server: isRest ? null : await findServer(parts, principal, serverId, undefined),
      sources: { header: headers['x-alloy-userid'], body: asked.body },
      strict: isRest || headers['x-valet-strict-user'] === 'true',
      credentialHeader: undefined,
      idempotencyKey: undefined,
      requestId,
      address: '127.0.0.1',
      era: 'legacy',
      lane: isRest ? 'rest' : 'direct',
      header: () => undefined,
      signal: null,
      replyHeaders: {},
    };
    const plan = async (): Promise<Step> => {
      if (asked.namesNoTool) throw new Refusal('NOT_FOUND', 'no such tool');
      return nothing;
    };
    const { user } = asked.isCall ? (await runCall(call, plan)).call : await resolveCaller(call, false);
    return { result: 'runs', userId: user.record.id, fallback: user.fallback !== null, signIns: 0 };
  } catch (error) {
    return { result: refusalOf(error).code, signIns: 0 };
  }
}

/** A call that touches nothing. */
const nothing: Step = {
  label: 'nothing',
  target: null,
  input: {},
  credential: { use: 'none' },
  isLocalRead: true,
  timeoutMs: 1_000,
  run: async () => ({ result: { content: [] }, outcome: { outcome: 'ok' }, error: null, keep: 'done' }),
};

/** The same request as a socket carries it: bytes of UTF-8, which the gateway reads one by one. */
function overWire(sending: Sending): Sending {
  const { header } = sending.case;
  const carried = header === undefined || !uncarried.includes(header) ? header : 'alice bob';
  const received = carried === undefined ? undefined : Buffer.from(carried, 'utf8').toString('latin1');
  return { ...sending, case: { ...sending.case, header: received, onUnknown: 'reject', namesNoTool: false } };
}

function pathOf({ case: asked, held }: Sending): string {
  if (asked.at === 'rest') return '/mcp/tool/call';
  if (asked.at === 'aggregate') return '/mcp';
  const path = `/mcp/${world.serverIds[asked.at]}`;
  return asked.inPath ? `${path}/${held?.text}` : path;
}

function bodyOf({ at, body, isCall }: Case): string {
  if (at === 'rest')
    return JSON.stringify({
      serverName: 'demo',
      methodName: 'echo',
      args: { text: 'x' },
      ...(body !== undefined && { username: body }),
    });
  const name = at === 'aggregate' ? 'demo__echo' : 'list_connectors_alloy';
  const message = isCall ? { method: 'tools/call', params: { name, arguments: {} } } : { method: 'ping' };
  return JSON.stringify({ jsonrpc: '2.0', id: 1, ...message });
}

const onMcp: Record<string, number> = { runs: 200, INVALID_REQUEST: 400, UNAUTHORIZED: 401, NOT_FOUND: 404 };
const onRest: Record<string, number> = { ...onMcp, USER_NOT_FOUND: 404 };

function wrongAnswer(
  asked: Case,
  expected: Expected,
  { status, text }: { status: number; text: string },
): string | undefined {
  const isRest = asked.at === 'rest';
  const wanted = (isRest ? onRest : onMcp)[expected.result] ?? 403;
  // A server that is closed to the user says so in the tool's answer.
  const isClosed = asked.at === 'narrow' && expected.result === 'FORBIDDEN';
  if (status !== wanted && !(isClosed && status === 200)) return `not ${wanted}`;
  const body = json(text) as { result?: { isError?: boolean }; success?: boolean } | undefined;
  const ran = isRest ? body?.success === true : body?.result !== undefined && body.result.isError !== true;
  if (ran !== (expected.result === 'runs')) return ran ? 'ran' : 'did not run';
  if (!isRest && expected.result !== 'runs' && !text.includes(expected.result)) return `not ${expected.result}`;
  const falls = text.includes('Invalid x-alloy-userid header');
  return falls === (expected.fallback === true && asked.isCall) ? undefined : 'another word about the fallback';
}

it('keeps of a name what can be kept', () => {
  expect(kept('a\u0000b\n\u2028\u202e')).toBe('a\\u0000b\\u000a\\u2028\\u202e');
  expect(kept('\ud800')).toBe('\\ud800');
  expect(kept(`${'a'.repeat(127)}\u{1f600}`)).toBe(`${'a'.repeat(127)}\\ud83d`);
});
