// An agent for every user: one gateway, one API key, and each run of the agent calls tools as its own user, several at a time.
// Exit code 0 only if every step held.
import { CredentialRequiredError, MCPClient } from '@mcp-valet/client';
import { aiSdk } from '@mcp-valet/client/ai-sdk';
import { startTestGateway } from '@mcp-valet/server/testing';
import { runAgent } from './agent.ts';
import { noteTaker } from './model.ts';
import { startNotes } from './notes.ts';
import { Story } from './story.ts';

const story = new Story();
const keys = { alice: 'key-of-alice-4f1d9a', bob: 'key-of-bob-b03c77' };
const cleanups: (() => Promise<void>)[] = [];

async function run(): Promise<void> {
  story.chapter('A gateway, and a note pad at which every user has an account');
  const notes = await startNotes();
  cleanups.push(notes.close);
  const gateway = await startTestGateway();
  cleanups.push(gateway.close);
  const client = new MCPClient({ baseUrl: await gateway.listen(), apiKey: gateway.apiKey });
  cleanups.push(() => client.close());
  await client.connectors.create({
    connectorId: 'notes',
    kind: 'mcp-http',
    url: notes.url,
    secretNames: ['NOTES_KEY'],
    inject: { headers: { authorization: 'Bearer {{NOTES_KEY}}' } },
  });
  for (const [userId, value] of Object.entries(keys)) {
    await client.users.create({ username: userId });
    await client.setSecret({ userId, connector: 'notes', name: 'NOTES_KEY', value });
  }
  await client.users.create({ username: 'carol' });
  story.tell('alice and bob have a key there, carol has none');

  story.chapter('The agent runs for alice and for bob at the same time');
  const [milk, bank] = [noteTaker('buy milk'), noteTaker('call the bank')];
  const said = await Promise.all([
    runAgent(client.forUser('alice'), milk.model, 'Note: buy milk'),
    runAgent(client.forUser('bob'), bank.model, 'Note: call the bank'),
  ]);
  story.tell(`both agents say: ${said.join(' ')}`);
  story.check(milk.heard.join() === '1 notes,buy milk', `alice’s tools answered: ${milk.heard.join(', ')}`);
  story.check(bank.heard.join() === '1 notes,call the bank', `bob’s tools answered: ${bank.heard.join(', ')}`);
  const written = (user: keyof typeof keys): string => (notes.written.get(keys[user]) ?? []).join();
  story.check(
    written('alice') === 'buy milk' && written('bob') === 'call the bank',
    'the note pad got each note once, under the key of its user',
  );

  story.chapter('A second run of alice’s agent, with the same tool call ids');
  const more = noteTaker('sell milk');
  await runAgent(client.forUser('alice'), more.model, 'Note: sell milk');
  story.check(more.heard[0] === '2 notes', `these are new calls, not old answers: ${more.heard.join(', ')}`);

  story.chapter('Carol has not connected her account');
  const carol = client.forUser('carol');
  const tools = Object.keys(await carol.toolsFor(aiSdk, { include: ['notes__*'] }));
  story.check(tools.length === 0, 'her agent is offered no tool of the note pad');
  const end = await carol.runAction('notes', 'list').safe();
  story.check(
    !end.ok && end.error instanceof CredentialRequiredError,
    `your program is told why: ${end.ok ? 'nothing' : end.error.message}`,
  );
  story.check(notes.written.size === 2, 'the note pad was not asked for her');
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
