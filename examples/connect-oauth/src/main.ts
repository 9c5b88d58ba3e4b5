// Two users connect their own accounts of somebody else's product with OAuth 2.0, in a browser, once. From then on their agents' calls run as
// them, and the application never sees a token. Exit code 0 only if every step held.
import { CredentialRequiredError, MCPClient } from '@mcp-valet/client';
import { startTestGateway } from '@mcp-valet/server/testing';
import { startMail } from './mail.ts';
import { type Page, Person } from './person.ts';
import { Story } from './story.ts';

const story = new Story();
const cleanups: (() => Promise<void>)[] = [];

async function run(): Promise<void> {
  story.chapter('An MCP server that wants a sign-in, and a connector that names nothing but its address');
  const mail = await startMail();
  cleanups.push(() => mail.close());
  const gateway = await startTestGateway({ env: { LOG_LEVEL: 'error' } });
  cleanups.push(() => gateway.close());
  const baseUrl = await gateway.listen();
  const admin = new MCPClient({ baseUrl, apiKey: gateway.apiKey });
  await admin.connectors.create({ connectorId: 'mail', name: 'Mail', kind: 'mcp-http', url: mail.url, oauth: {} });
  story.tell('oauth: {}   who guards it, and as which client, the gateway finds out by itself');
  for (const username of ['alice', 'bob']) await admin.users.create({ username });
  const [alice, bob] = [admin.forUser('alice'), admin.forUser('bob')];

  story.chapter('A call without a connected account says where to connect it');
  const missing = await story.refused(
    () => alice.runAction('mail', 'whose_mailbox', {}),
    CredentialRequiredError,
    'alice',
  );
  const aliceLink = missing?.connectUrl ?? '';
  story.check(aliceLink.startsWith(`${baseUrl}/connect/`), 'the error carries a link to a page of the gateway');

  story.chapter('Alice comes from the application, which vouches for her with a ticket');
  const vouch = async (userId: string, connectUrl: string): Promise<string> => {
    const response = await fetch(`${baseUrl}/api/connect/tickets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ userId, connectUrl }),
    });
    return response.ok ? ((await response.json()) as { url: string }).url : `refused with ${response.status}`;
  };
  const atMail = async (person: Person, consent: Page, login: string): Promise<Page> => {
    const signIn = await person.submit(consent);
    story.check(signIn.url.startsWith(mail.issuer), `the browser is at the sign-in of Mail, which asks for ${login}`);
    return person.submit(await person.submit(signIn, { login, password: 'only Mail sees this' }));
  };
  const alicesBrowser = new Person();
  const consent = await alicesBrowser.open(await vouch('alice', aliceLink));
  story.check(consent.text.includes('<dd>alice</dd>'), Person.read(consent));
  const done = await atMail(alicesBrowser, consent, 'alice@mail.example');
  story.check(done.text.includes('Mail is connected'), Person.read(done));
  const first = await alice.runAction('mail', 'whose_mailbox', {});
  story.check(first.text() === 'alice@mail.example', `the same call again: the mailbox of ${first.text()}`);

  story.chapter('Bob has no such application: he shows his own key');
  const { oauthUrl: bobLink = '', credentialId } = await bob.credentials.deposit({
    connectorId: 'mail',
    authenticationType: 'oauth2',
  });
  const { apiKey: bobKey = '' } = await admin.keys.create('bob', { keyName: 'laptop' });
  const bobsBrowser = new Person();
  const who = await bobsBrowser.open(bobLink);
  story.check(!/bob|mail/i.test(Person.read(who)), `whoever opens the link reads: ${Person.read(who)}`);
  const finished = await atMail(bobsBrowser, await bobsBrowser.submit(who, { key: bobKey }), 'bob@mail.example');
  story.check(finished.text.includes('Mail is connected'), Person.read(finished));
  const second = await bob.runAction('mail', 'whose_mailbox', {});
  story.check(second.text() === 'bob@mail.example', `the mailbox of ${second.text()}`);

  story.chapter('A link is worth nothing to somebody else, and nothing twice');
  const again = await bobsBrowser.open(bobLink);
  story.check(again.status === 404, Person.read(again));
  const { oauthUrl: newLink = '' } = await alice.credentials.deposit({
    connectorId: 'mail',
    authenticationType: 'oauth2',
    label: 'second mailbox',
  });
  const mallory = new Person();
  const refused = await mallory.submit(await mallory.open(newLink), { key: bobKey });
  story.check(
    refused.status === 403 && !/alice|bob/i.test(refused.text),
    `bob with alice’s link: ${Person.read(refused)}`,
  );
  const ticket = await vouch('bob', newLink);
  story.check(ticket === 'refused with 404', `a ticket for bob on alice’s link: ${ticket}`);

  story.chapter('What the application sees of it');
  const stored = await admin.credentials.get(credentialId);
  story.tell(`status ${stored.status}, scopes ${stored.scopes?.join(' ')}, secrets ${stored.secretNames.join(', ')}`);
  story.check(!('oauthUrl' in stored) && stored.status === 'valid', 'names and dates; tokens go in and never come out');
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? alice : bob).runAction('mail', 'whose_mailbox', {})),
  );
  const right = answers.filter((one, at) => one.text() === (at % 2 === 0 ? 'alice@mail.example' : 'bob@mail.example'));
  story.check(right.length === 20, `${right.length} of 20 calls at a time came to their own user’s mailbox`);
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
