// The raw carrier against an upstream that misbehaves in every way we know: each ends in a failure or the right answer, in bounded time
// and memory, with no connection left behind; and no secret comes back.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { UpstreamFailure } from '../../packages/server/src/connectors/backend.ts';
import type { Behaviour } from '../support/hostile-behaviours.ts';
import { type HostileUpstream, startHostileUpstream } from '../support/hostile-upstream.ts';
import { callOf, failureOf, rawCarrier, upstreamOf } from '../support/raw-upstream.ts';
import { type Encoding, encodings } from '../support/secret-encodings.ts';

const mebibyte = 1024 * 1024;
const era = { modern: false, version: '2025-06-18' } as const;
const { egress, raw } = rawCarrier(mebibyte);
let hostile: HostileUpstream;
beforeAll(async () => {
  hostile = await startHostileUpstream();
});
afterAll(async () => {
  await egress.close();
  await hostile.close();
});

const secret = 'S3cret-Value+42/with=marks';
/** One call of a misbehaving tool, with and without a secret to scrub: both paths read the answer. */
const call = (
  behaviour: Behaviour,
  args: Record<string, unknown> = {},
  timeoutMs = 3_000,
  secrets: Record<string, string> = {},
) =>
  raw.request(
    upstreamOf(hostile.urlFor(behaviour), { secrets }),
    callOf(behaviour, args, AbortSignal.timeout(timeoutMs)),
    era,
  );

describe('an upstream that', () => {
  const failures: [Behaviour, Record<string, unknown>, number, string][] = [
    ['huge-json', {}, 3_000, 'broken'],
    ['huge-sse', {}, 3_000, 'broken'],
    ['endless-sse', {}, 3_000, 'broken'],
    ['gzip-bomb', { bytes: 8 * mebibyte }, 3_000, 'broken'],
    ['huge-headers', {}, 3_000, 'broken'],
    ['ping-forever', {}, 200, 'timeout'],
    ['drip', {}, 200, 'timeout'],
    ['silence', {}, 200, 'timeout'],
    ['stall', {}, 200, 'timeout'],
    ['bad-json', {}, 3_000, 'broken'],
    ['bad-frames', {}, 3_000, 'broken'],
    ['bad-http', {}, 3_000, 'broken'],
    ['not-json', {}, 3_000, 'broken'],
    ['wrong-id', {}, 3_000, 'broken'],
    ['null-id', {}, 3_000, 'broken'],
    ['deep-json', { depth: 1_000 }, 3_000, 'broken'],
    ['deep-json', { depth: 20_000 }, 3_000, 'broken'],
    ['deep-json', { depth: 400_000 }, 3_000, 'broken'],
    ['redirect', { code: 307 }, 3_000, 'broken'],
    ['redirect', { code: 302, location: 'http://127.0.0.1:1/' }, 3_000, 'broken'],
    ['close-at-once', {}, 3_000, 'broken'],
    ['close-mid-body', {}, 3_000, 'broken'],
    ['close-mid-sse', {}, 3_000, 'broken'],
    ['status', { code: 500 }, 3_000, 'broken'],
    ['status', { code: 502 }, 3_000, 'broken'],
  ];
  it.each(failures)(
    'answers with %s %j within %d ms ends as %s, outcome unknown',
    async (behaviour, args, timeoutMs, kind) => {
      for (const secrets of [{}, { T: secret }]) {
        expect(await failureOf(call(behaviour, args, timeoutMs, secrets))).toMatchObject({ kind, executed: 'unknown' });
      }
      await expect.poll(() => hostile.open()).toBe(0);
    },
  );

  const answers: [Behaviour, string][] = [
    ['extra-ids', 'the right answer'],
    ['server-requests', 'after asking'],
    ['sse', 'streamed'],
  ];
  it.each(answers)('answers with %s is read for its one right answer', async (behaviour, text) => {
    const { result } = await call(behaviour);
    expect(result['content']).toEqual([{ type: 'text', text }]);
  });

  it('nests its answer deeper than anybody means to is told from one that nests a little', async () => {
    const { result } = await call('deep-json', { depth: 900 }, 3_000, { T: secret });
    expect(JSON.stringify(result)).toContain('['.repeat(900));
  });
});

describe('an upstream that sends back what it was sent', () => {
  const inject = { headers: { 'x-secret': '{{T}}' }, query: { behaviour: 'echo-secrets', key: '{{T}}' } };
  const upstream = (value: string) => upstreamOf(hostile.url, { secrets: { T: value }, inject });
  const all = Object.keys(encodings) as Encoding[];
  const echo = async (where: string, encoding: Encoding | undefined, value: string): Promise<string> => {
    const args = { where, ...(encoding && { encoding }), T: value };
    const request = callOf('echo-secrets', args);
    const outcome = await raw.request(upstream(value), request, era).then(
      ({ result }) => result,
      (error: unknown) => (error as UpstreamFailure).rpc,
    );
    return JSON.stringify(outcome);
  };
  const values = [secret, 'plainAlphanumeric0123456789', '"quoted" \\ and / more {}'];

  it.each(['text', 'error', 'structured', 'meta', 'resource', 'rpc-error'])(
    'gets none of it through, in any encoding, in %s',
    async (where) => {
      for (const value of values) {
        for (const encoding of all) {
          const told = await echo(where, encoding, value);
          const form = encodings[encoding](value);
          // The edges of shifted base64 are shared with the neighbours; what is the secret's alone must be gone.
          const core = encoding.startsWith('base64') ? form.replace(/=+$/, '').slice(4, -2) : form;
          expect(told, `${encoding} of ${value}`).not.toContain(JSON.stringify(core).slice(1, -1));
          expect(told).toContain('[secret]');
        }
      }
    },
  );

  it.each(['blob', 'link'])('gets the value itself not through in %s either', async (where) => {
    const value = 'plainAlphanumeric0123456789';
    const told = await echo(where, 'raw', value);
    expect(told).toContain('[secret]');
    expect(told).not.toContain(value);
    for (const [, data = ''] of told.matchAll(/"data":"([^"]*)"/g))
      expect(Buffer.from(data, 'base64').toString('latin1')).not.toContain(value.slice(3, -3));
  });
});
