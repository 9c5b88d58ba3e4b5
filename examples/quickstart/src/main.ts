// The quickstart: one published MCP server acts for two users with two different credentials, through the typed SDK, against real upstreams.
// Exit code 0 only if every step held.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CredentialRequiredError, MCPClient, PermissionError, RateLimitError } from '@mcp-valet/client';
import { startCrm } from './crm-upstream.ts';
import { startEverything, startGateway } from './processes.ts';
import { Story } from './story.ts';

const story = new Story();
const secretOf = (): string => randomBytes(24).toString('base64url');
const keys = { admin: randomBytes(24).toString('hex'), alice: secretOf(), bob: secretOf() };
const directory = await mkdtemp(join(tmpdir(), 'mcp-valet-'));
const cleanups: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })];

async function run(): Promise<void> {
  story.chapter('A gateway on its embedded database, and two upstream MCP servers');
  const gateway = await startGateway(directory, { VALET_API_KEY: keys.admin });
  cleanups.push(gateway.stop);
  const everything = await startEverything();
  cleanups.push(everything.stop);
  const crm = await startCrm(
    new Map([
      [keys.alice, 'Alice GmbH'],
      [keys.bob, 'Bob Ltd'],
    ]),
  );
  cleanups.push(crm.close);
  story.tell(`gateway     ${gateway.url}`);
  story.tell(`everything  ${everything.url}   @modelcontextprotocol/server-everything from npm`);
  story.tell(`crm         ${crm.url}   ours: tells whose credential arrived`);

  story.chapter('Your backend: users, connectors, one server, and its own enterprise key');
  const admin = new MCPClient({ baseUrl: gateway.url, apiKey: keys.admin });
  for (const username of ['alice', 'bob', 'carol']) await admin.users.create({ username });
  await admin.connectors.create({ connectorId: 'everything', kind: 'mcp-http', url: everything.url });
  await admin.connectors.create({
    connectorId: 'crm',
    kind: 'mcp-http',
    url: crm.url,
    secretNames: ['CRM_KEY'],
    inject: { headers: { authorization: 'Bearer {{CRM_KEY}}' } },
  });
  const server = await admin.createServer({
    name: 'acme assistant',
    restrictions: {
      permissions: [
        { connector: 'everything', mode: 'allow', actions: ['*'] },
        { connector: 'crm', mode: 'allow', actions: ['whoami', 'add_customer'] },
      ],
    },
  });
  const { apiKey } = await admin.keys.create('default', { keyName: 'acme backend', kind: 'enterprise' });
  const client = new MCPClient({ baseUrl: gateway.url, apiKey: apiKey ?? '', server: server.serverId });
  story.tell(`server      ${server.url}`);

  story.chapter('Each user has a credential of their own, encrypted at rest');
  await client.setSecret({ userId: 'alice', connector: 'crm', name: 'CRM_KEY', value: keys.alice });
  await client.setSecret({ userId: 'bob', connector: 'crm', name: 'CRM_KEY', value: keys.bob });
  for await (const secret of client.secrets.list({ userId: 'alice', connector: 'crm' })) {
    story.check(
      !JSON.stringify(secret).includes(keys.alice),
      `listing shows ${secret.name}, version ${secret.version}, fingerprint ${secret.fingerprint}, no value`,
    );
  }

  story.chapter('The same call for two users: one server, two identities');
  const whoami = { connectorId: 'crm', actionId: 'whoami' };
  const alice = await client.executeForUser('alice', 'execute_action_alloy', whoami);
  const bob = await client.executeForUser('bob', 'execute_action_alloy', whoami);
  story.check(alice.json<{ account: string }>().account === 'Alice GmbH', `alice: the crm saw ${alice.text()}`);
  story.check(bob.json<{ account: string }>().account === 'Bob Ltd', `bob:   the crm saw ${bob.text()}`);
  await story.refused(
    () => client.executeForUser('carol', 'execute_action_alloy', whoami),
    CredentialRequiredError,
    'carol has no credential, so nothing was sent',
  );
  const echo = await client.executeForUser('alice', 'execute_action_alloy', {
    connectorId: 'everything',
    actionId: 'echo',
    parameters: { message: 'hello' },
  });
  story.check(
    !echo.isError && echo.text().includes('hello'),
    `a third-party server works the same way: ${echo.text()}`,
  );

  story.chapter('A restriction of the server refuses what it does not allow');
  await story.refused(
    () => client.executeForUser('alice', 'execute_action_alloy', { connectorId: 'crm', actionId: 'delete_everything' }),
    PermissionError,
    'alice, delete_everything',
  );
  story.check(crm.calls.get('Alice GmbH') === 1, 'the crm was called once for alice: the refusal sent nothing');

  story.chapter('A retry never posts twice');
  const add = { connectorId: 'crm', actionId: 'add_customer', parameters: { name: 'Zoe' } };
  const first = await client.executeForUser('bob', 'execute_action_alloy', add, { idempotencyKey: 'order-4711' });
  const again = await client.executeForUser('bob', 'execute_action_alloy', add, { idempotencyKey: 'order-4711' });
  story.check(
    first.text() === again.text() && crm.calls.get('Bob Ltd') === 2,
    `the same Idempotency-Key answers again without a second call: ${again.text()}`,
  );

  story.chapter('A limit per user');
  const limited = await admin.createServer({ name: 'limited', rateLimit: { max: 3, windowSeconds: 60 } });
  const atLimit = client.withOptions({ server: limited.serverId, maxRetries: 0 });
  for (let i = 0; i < 3; i++) await atLimit.executeForUser('alice', 'list_connectors_alloy', {});
  const refusal = await story.refused(
    () => atLimit.executeForUser('alice', 'list_connectors_alloy', {}),
    RateLimitError,
    'alice, fourth call of three',
  );
  story.check((refusal?.retryAfterMs ?? 0) > 0, `Retry-After: ${Math.ceil((refusal?.retryAfterMs ?? 0) / 1000)} s`);
  const other = await atLimit.executeForUser('bob', 'list_connectors_alloy', {});
  story.check(!other.isError, 'bob is not held up by alice');

  story.chapter('The trail of it all');
  let rows = 0;
  for await (const call of admin.calls.list({ limit: 100 })) {
    rows++;
    story.tell(
      `${call.at}  ${(call.username ?? '').padEnd(8)}${(call.connectorId ?? '-').padEnd(12)}${call.tool.padEnd(24)}${call.outcome ?? 'running'}${call.reason ? ` (${call.reason})` : ''}`,
    );
  }
  story.check(rows >= 10, `${rows} calls in the journal, with their outcome and never with arguments or secrets`);
  const events = await admin.audit.list({ limit: 1000 });
  const text = JSON.stringify(events.items);
  story.check(
    events.items.some((event) => event.outcome === 'refused'),
    `${events.items.length} audit events, refusals among them`,
  );
  story.check(![keys.alice, keys.bob].some((key) => text.includes(key)), 'no secret stands in them');
}

try {
  await run();
} catch (error) {
  story.check(false, error instanceof Error ? `${error.name}: ${error.message}` : String(error));
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
process.stdout.write(story.failed === 0 ? '\nEvery step held.\n' : `\n${story.failed} steps did not hold.\n`);
process.exitCode = story.failed === 0 ? 0 : 1;
