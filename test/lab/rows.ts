// The rows of the lab that are measured: each does one thing to a client and says in a few words what happened. The words are made the same
// way for everybody. A row ends within about six seconds, whatever a library does.
import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { format, inspect } from 'node:util';
import {
  answers,
  type Behaviour,
  bodyHangs,
  fails,
  hangs,
  json,
  type LabServer,
  resets,
  startLabServer,
} from './server.ts';
import { type Client, key, type Subject, type Target } from './subjects.ts';

export interface Row {
  name: string;
  measure(subject: Subject): Promise<string>;
}

const windowMs = 5500;
const none = '—';

type End = { error?: unknown } | 'pending';

interface Stage {
  client: Client;
  server: LabServer;
}

/** A client before a server that does `behave`; both are gone afterwards. */
async function on<T>(
  subject: Subject,
  behave: Behaviour,
  run: (stage: Stage) => Promise<T>,
  more: Partial<Target> & { promises?: boolean } = {},
): Promise<T> {
  const { promises, ...target } = more;
  const server = await startLabServer(behave, promises);
  const { url, port } = server;
  const client = await subject.client({ url, port, timeoutMs: 5000, log: () => undefined, ...target });
  try {
    return await run({ client, server });
  } finally {
    await server.close();
  }
}

async function endOf(call: PromiseLike<unknown>, withinMs = windowMs): Promise<End> {
  const timer = new AbortController();
  const settled = Promise.resolve(call).then(
    (): End => ({}),
    (error: unknown): End => ({ error }),
  );
  const late = sleep(withinMs, 'pending' as const, { signal: timer.signal, ref: true }).catch(() => 'pending' as const);
  const end = await Promise.race([settled, late]);
  timer.abort();
  return end;
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'Error' ? error.constructor.name : error.name;
}

/** `3 tries, same key: ServerError`. */
function told({ seen }: LabServer, end: End): string {
  const keys = seen.map(({ headers }) => headers['idempotency-key']);
  const word = keys.some((one) => one === undefined) ? 'no key' : new Set(keys).size > 1 ? 'new keys' : 'same key';
  const tries = seen.length === 1 ? '1 try' : `${seen.length} tries, ${word}`;
  if (end === 'pending') return `${tries}: hangs`;
  return 'error' in end ? `${tries}: ${nameOf(end.error)}` : `${tries}: done`;
}

/** A post to a server that does something wrong; for who reads the promise, also to one that honours keys. */
const post =
  (behave: Behaviour, timeoutMs = 5000) =>
  async (subject: Subject): Promise<string> => {
    const once = (promises: boolean) =>
      on(subject, behave, async ({ client, server }) => told(server, await endOf(client.post(), subject.patienceMs)), {
        promises,
        hurry: true,
        timeoutMs,
      });
    if (!subject.readsPromise) return once(false);
    const [plain, promised] = await Promise.all([once(false), once(true)]);
    return `${plain}; if the server honours keys: ${promised}`;
  };

/** Milliseconds between two requests, at least; infinite when there was one. */
const gapOf = ({ seen }: LabServer): number =>
  Math.min(...seen.slice(1).map(({ atMs }, at) => atMs - (seen[at]?.atMs ?? 0)));

const limited =
  (retryAfter: string, withinMs: number, say: (server: LabServer, end: End) => string) =>
  (subject: Subject): Promise<string> =>
    on(subject, fails(429, { 'retry-after': retryAfter }), async ({ client, server }) =>
      say(server, await endOf(client.post(), withinMs)),
    );

const afterLongLimit = limited('90', 3000, (server, end) => {
  if (server.seen.length > 1) return `again after ${(gapOf(server) / 1000).toFixed(1)} s`;
  if (end === 'pending') return 'waits';
  const error = 'error' in end ? end.error : undefined;
  const hasTime = (error as { retryAfterMs?: unknown } | undefined)?.retryAfterMs === 90_000;
  return `1 try: ${nameOf(error)}${hasTime ? ', `retryAfterMs`' : ''}`;
});

const afterGarbage = limited('garbage', windowMs, (server, end) => {
  if (server.seen.length > 1) return gapOf(server) < 200 ? 'again without a pause' : 'backs off';
  return end === 'pending' ? 'waits' : '1 try';
});

async function abortInBackoff(subject: Subject): Promise<string> {
  if (!subject.takesSignal) return 'takes no signal';
  return on(
    subject,
    fails(503, { 'retry-after': '4' }),
    async ({ client, server }) => {
      const controller = new AbortController();
      const call = client.post({ signal: controller.signal });
      const end = endOf(call);
      while (server.seen.length === 0) await sleep(5);
      await sleep(100);
      controller.abort();
      // Raced, not timed: a slow machine delays both alike.
      const first = await Promise.race([end.then(() => 'at once'), sleep(600, 'after the sleep')]);
      const when = (await end) === 'pending' ? 'hangs' : first;
      const left = getEventListeners(controller.signal, 'abort').length;
      return left === 0 ? when : `${when}, ${left} listener left`;
    },
    { promises: true },
  );
}

async function keyShown(subject: Subject): Promise<string> {
  const failures = [fails(500), fails(401), resets];
  const errors = failures.map((behave) =>
    on(subject, behave, async ({ client }) => inspect(await endOf(client.post())), { hurry: true }),
  );
  const client = await on(subject, answers, async (stage) => inspect(stage.client.object));
  const shown = (text: string) => (text.includes(key) ? 'yes' : 'no');
  return `${shown(client)} / ${shown((await Promise.all(errors)).join('\n'))}`;
}

async function debugLog(subject: Subject): Promise<string> {
  if (!subject.hasDebugLog) return none;
  const lines: string[] = [];
  const canaries = { body: 'canary-body', query: 'canary-query', header: 'canary-header', key };
  await on(
    subject,
    answers,
    async ({ client }) => {
      await endOf(client.post({ text: canaries.body, header: canaries.header }));
      if (client.search) await endOf(client.search(canaries.query));
    },
    { log: (...args) => void lines.push(format(...args)) },
  );
  if (lines.length === 0) throw new Error(`${subject.package} wrote no debug log`);
  const text = lines.join('\n');
  const leaked = Object.entries(canaries).filter(([, value]) => text.includes(value));
  return leaked.length === 0 ? 'nothing' : leaked.map(([what]) => what).join(', ');
}

const dots = (subject: Subject): Promise<string> =>
  on(subject, answers, async ({ client, server }) => {
    const refused = await endOf((async () => client.get('..'))());
    const path = server.seen[0]?.path;
    if (path === undefined) return refused !== 'pending' && 'error' in refused ? 'refused' : 'nothing sent';
    return path.includes('..') ? `sent: \`${path}\`` : `reaches \`${path}\``;
  });

/** One call meets a 429 of five seconds. Does a second one of the same user leave before they are over, and one of another user? */
const holdsQueue = (subject: Subject): Promise<string> => {
  const limit: Behaviour = (response, seen, count) => {
    if (count > 1) return answers(response, seen, count);
    json(response, 429, { error: { message: 'No.' } }, { 'retry-after': '5' });
  };
  return on(subject, limit, async ({ client, server }) => {
    const calls = [endOf(client.post({ user: 'alice', text: 'call-one' }), 3100)];
    while (server.seen.length === 0) await sleep(5);
    await sleep(100);
    calls.push(endOf(client.post({ user: 'alice', text: 'call-two' }), 3000));
    calls.push(endOf(client.post({ user: 'bob', text: 'call-three' }), 3000));
    await Promise.all(calls);
    const left = (text: string) => server.seen.some(({ body }) => body.includes(text));
    if (left('call-two')) return 'no';
    return left('call-three') ? 'yes, of that user only' : 'of everybody';
  });
};

/** Ours is made to show what it says of itself; for the others it stands as read. */
async function userScope(subject: Subject): Promise<string> {
  if (!subject.readsPromise) return subject.facts.user;
  const users = await on(subject, answers, async ({ client, server }) => {
    await Promise.all([client.post({ user: 'alice' }), client.post({ user: 'bob' })]);
    return server.seen.map(({ headers }) => headers['x-alloy-userid']).sort();
  });
  return users.join() === 'alice,bob' ? subject.facts.user : 'no';
}

async function connectAsData(subject: Subject): Promise<string> {
  if (!subject.readsPromise) return subject.facts.connect;
  const url = 'https://gateway.example/connect/1';
  const refuse: Behaviour = (response, { body }) => {
    const data = { code: 'CREDENTIALS_REQUIRED', executed: 'no', connect: { url, connector: 'crm' } };
    const { id } = JSON.parse(body) as { id: string };
    json(response, 200, { jsonrpc: '2.0', id, error: { code: 403, message: 'Connect first', data } });
  };
  const end = await on(subject, refuse, async ({ client }) => endOf(client.post()));
  const error = end !== 'pending' && 'error' in end ? end.error : undefined;
  const given = (error as { connectUrl?: unknown } | undefined)?.connectUrl === url;
  return given ? `\`${nameOf(error)}\`, \`connectUrl\`` : 'no';
}

/** A good call, so that no row measures how long a library takes to load. */
export const warmUp = (subject: Subject): Promise<End> => on(subject, answers, ({ client }) => endOf(client.post()));

export const rows: readonly Row[] = [
  { name: 'POST answered 500', measure: post(fails(500)) },
  { name: 'POST, connection reset', measure: post(resets) },
  { name: 'POST, no answer (timeout 0.6 s where there is one)', measure: post(hangs, 600) },
  { name: 'POST, the body stops half-way', measure: post(bodyHangs, 600) },
  { name: '429, `Retry-After: 90`', measure: afterLongLimit },
  { name: '429, `Retry-After: garbage`', measure: afterGarbage },
  { name: 'after a 429, holds the queue of the user', measure: holdsQueue },
  { name: 'abort while it waits to retry', measure: abortInBackoff },
  { name: 'shows the key: `console.log(client)` / errors', measure: keyShown },
  { name: 'debug log shows of body, query, own header, key', measure: debugLog },
  { name: 'id `..` in a path', measure: dots },
  { name: 'an object per user \\*', measure: userScope },
  { name: '"connect your account" as data \\*', measure: connectAsData },
];
