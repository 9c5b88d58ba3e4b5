// A REST API as tools: Slack's own OpenAPI document, two users, each with their own token, against a stand-in on loopback.
// Exit code 0 only if every step held.
import { readFile } from 'node:fs/promises';
import { CredentialRequiredError, MCPClient, PermissionError, ToolError } from '@mcp-valet/client';
import { startTestGateway } from '@mcp-valet/server/testing';
import { startSlack } from './slack.ts';
import { Story } from './story.ts';

const story = new Story();
const tokens = { alice: 'xoxp-token-of-alice-000001', bob: 'xoxp-token-of-bob-00000002' };
/** The vendor's own file; see the licence beside it. */
const documentFile = new URL('../../../test/fixtures/openapi/slack-web-api.swagger2.json', import.meta.url);
const cleanups: (() => Promise<void>)[] = [];

interface Details {
  required: string[];
  optional: string[];
}
interface Resources {
  count: number;
  resources: { name: string }[];
}

async function run(): Promise<void> {
  story.chapter('Slack’s own description becomes a connector');
  const slack = await startSlack(new Map(Object.entries(tokens).map(([user, token]) => [token, user])));
  cleanups.push(slack.close);
  const gateway = await startTestGateway({
    env: { VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8', LOG_LEVEL: 'error' },
  });
  cleanups.push(() => gateway.close());
  const baseUrl = await gateway.listen();
  const admin = new MCPClient({ baseUrl, apiKey: gateway.apiKey });
  const started = performance.now();
  await admin.connectors.create({
    connectorId: 'slack',
    kind: 'http',
    name: 'Slack',
    openapi: await readFile(documentFile, 'utf8'),
    baseUrl: slack.url,
  });
  const tookMs = Math.round(performance.now() - started);
  story.check(tookMs < 10_000, `OpenAPI 2.0, 1.2 MB, imported and stored in ${tookMs} ms`);

  story.chapter('Each user stores their own token; where it goes, the document says');
  for (const username of ['alice', 'bob', 'carol'] as const) await admin.users.create({ username });
  for (const username of ['alice', 'bob'] as const) {
    const fields = { SLACK_TOKEN: tokens[username] };
    await admin.credentials.create({ userId: username, connectorId: 'slack', authenticationType: 'api_key', fields });
  }
  const server = await admin.createServer({
    name: 'assistant',
    restrictions: { permissions: [{ connector: 'slack', mode: 'allow', actions: ['chat_*', 'users_*', 'auth_test'] }] },
  });
  const { apiKey } = await admin.keys.create('default', { keyName: 'backend', kind: 'enterprise' });
  const client = new MCPClient({ baseUrl, apiKey: apiKey ?? '', server: server.serverId });

  story.chapter('What an agent sees: actions, their arguments, no token anywhere');
  const slackOnly = { connectorId: 'slack' };
  const found = await client.executeForUser('alice', 'get_connector_resources_alloy', slackOnly);
  const { count, resources } = found.json<Resources>();
  story.check(
    count > 10 && count < 174,
    `${count} of 174 operations are allowed here, grouped as ${resources.length} resources`,
  );
  const shown = await client.executeForUser('alice', 'get_action_details_alloy', {
    ...slackOnly,
    actionId: 'chat_postMessage',
  });
  const { required, optional } = shown.json<Details>();
  story.check(
    required.join() === 'channel' && optional.includes('text'),
    `chat_postMessage takes ${required.join()} and ${optional.length} more`,
  );
  story.check(
    ![...required, ...optional].includes('token'),
    'the token that the document lists as a parameter is nobody’s to pass',
  );

  story.chapter('The same call for two users');
  for (const [user, channel] of [
    ['alice', 'C123456'],
    ['bob', 'C789012'],
  ] as const) {
    const parameters = { requestBody: { channel, text: `Message from ${user}` } };
    const call = { ...slackOnly, actionId: 'chat_postMessage', parameters };
    const answer = await client.executeForUser(user, 'execute_action_alloy', call);
    const last = slack.messages.at(-1);
    story.check(last?.by === user && last.channel === channel, `${user}: ${answer.text()}`);
  }
  const flat = { ...slackOnly, actionId: 'chat_postMessage', parameters: { channel: 'C1', text: 'flat works too' } };
  await client.executeForUser('bob', 'execute_action_alloy', flat);
  story.check(slack.messages.at(-1)?.text === 'flat works too', 'parameters may be given flat');

  story.chapter('What cannot be sent is refused before anything is sent');
  const before = slack.messages.length;
  await story.refused(
    () => client.executeForUser('carol', 'execute_action_alloy', flat),
    CredentialRequiredError,
    'carol has no token',
  );
  await story.refused(
    () =>
      client.executeForUser('alice', 'execute_action_alloy', {
        ...slackOnly,
        actionId: 'files_delete',
        parameters: {},
      }),
    PermissionError,
    'files_delete is not allowed on this server',
  );
  const wrong = { ...flat, parameters: { text: 'no channel', colour: 'red' } };
  const refusal = await client.executeForUser('alice', 'execute_action_alloy', wrong).then(
    (answer) => answer.text(),
    (error: unknown) => (error instanceof ToolError || error instanceof Error ? error.message : ''),
  );
  story.check(refusal.includes('channel is required') && refusal.includes('colour is not known'), refusal);
  story.check(slack.messages.length === before, 'Slack heard none of this');

  story.chapter('A long reply is made to fit');
  const list = { ...slackOnly, actionId: 'users_list' };
  const sized = (await client.executeForUser('alice', 'execute_action_alloy', list)).json<{
    samples: unknown[];
    message: string;
  }>();
  story.check(sized.samples.length === 5, `${sized.message} 5 samples are shown, and how to ask for less`);
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
