// Makes an account what a file says, in the caller's transaction: objects are checked as the routes check them, written through the nouns' stores,
// told to the trail and to every replica. What a file does not name stays, unless it is to be pruned; a kind it leaves out is not looked at.
import type { AccountRow } from '../accounts/store.ts';
import { defaultAccountName, updateAccount } from '../accounts/store.ts';
import { endServerTokens } from '../api-keys/store.ts';
import { recordEvent } from '../audit/record.ts';
import type { Surroundings } from '../connectors/definition.ts';
import { saveDocument } from '../connectors/documents.ts';
import { deleteConnector, getConnector, insertConnector, updateConnector } from '../connectors/store.ts';
import { saveOAuthClient } from '../credentials/oauth/client-store.ts';
import type { Keyring } from '../crypto/keyring.ts';
import type { Database } from '../db/client.ts';
import { servers } from '../db/schema.ts';
import type { Db } from '../db/scope.ts';
import { deleteGroup, insertGroup, updateGroup } from '../groups/store.ts';
import type { Topic } from '../identity/cache.ts';
import { newId, newServerId } from '../ids.ts';
import { deleteIssuer, insertIssuer, updateIssuer } from '../issuers/store.ts';
import { assertGroup, deleteLimit, insertLimit, updateLimit } from '../rate-limits/store.ts';
import { deleteServer, findServer, updateServer } from '../servers/store.ts';
import { saveSettings } from '../settings/store.ts';
import { type AccountConfig, DocumentError, type Filled } from './document.ts';
import { type Change, differing, planChanges } from './plan.ts';
import { readAccount } from './read.ts';
import { type AccountObjects, type LimitValue, objectsOf, type ReadingOptions } from './values.ts';

export interface WriteOptions {
  db: Database;
  keyring: Keyring;
  around: Surroundings;
  env: ReadingOptions['env'];
  /** Delete what the file does not name. */
  prune: boolean;
  /** Say what would change and change nothing. */
  dryRun: boolean;
}

export type ConfigNoun = 'account' | 'connector' | 'group' | 'server' | 'issuer' | 'limit';
export interface AccountChange extends Pick<Change, 'what' | 'id' | 'name' | 'fields' | 'differences'> {
  noun: ConfigNoun;
  account: string;
}

interface Writing {
  tx: Db;
  accountId: string;
  options: WriteOptions;
  /** Ids of the file that are other ones here: an object was found by its name. */
  ids: Map<string, string>;
}

const topics: Record<Exclude<ConfigNoun, 'server'>, (accountId: string) => Topic> = {
  account: (id) => `account:${id}`,
  connector: (id) => `connectors:${id}`,
  group: (id) => `groups:${id}`,
  issuer: () => 'issuers:*',
  limit: (id) => `limits:${id}`,
};

/** In the scope of the account. Answers what was changed, or would be. */
export async function writeAccount(
  tx: Db,
  account: AccountRow,
  wanted: AccountConfig,
  options: WriteOptions,
): Promise<AccountChange[]> {
  const { config: there } = await readAccount(tx, account);
  const reading = { around: options.around, env: options.env };
  // Of what is there nothing is inherited, and nothing is refused: it is read as it stands, also where this shell's rules are not the gateway's.
  const present = await objectsOf(there, { ...reading, around: asItStands(there), before: () => undefined });
  const definitions = new Map(present.connectors.map(({ name, value }) => [name, value.definition]));
  const hasSecret = await clientsWithSecret(tx, account.id);
  for (const { name, value } of present.connectors)
    if (value.definition.oauth) value.definition.oauth.hasClientSecret = hasSecret.has(name);
  const file = await objectsOf(wanted, { ...reading, before: (id) => definitions.get(id) });
  const writing: Writing = { tx, accountId: account.id, options, ids: new Map() };
  const done: AccountChange[] = await writeOwn(writing, account, wanted, there);
  const deletions: (() => Promise<void>)[] = [];

  for (const noun of ['connector', 'group', 'server', 'issuer', 'limit'] as const) {
    const kind = `${noun}s` as const;
    if (wanted[kind] === undefined) continue;
    const changes = planChanges<object>(
      noun === 'limit' ? file.limits.map((limit) => translated(limit, writing.ids)) : file[kind],
      present[kind],
    ).filter(({ what }) => what !== 'delete' || options.prune);
    mapIds(file[kind], present[kind], writing.ids);
    for (const change of changes) {
      done.push({ ...pick(change), noun, account: account.name });
      if (options.dryRun) continue;
      const write = async (): Promise<void> => {
        const id = await writers[noun](writing, change as Change<never>, file.beside);
        await tell(writing, noun, change, id);
      };
      // Last, in reverse: limits point at servers and groups, servers at nothing.
      if (change.what === 'delete') deletions.unshift(write);
      else await write();
    }
  }
  for (const remove of deletions) await remove();
  return done;
}

const pick = ({ what, id, name, fields, differences }: Change): Omit<AccountChange, 'noun' | 'account'> => ({
  what,
  id,
  name,
  fields,
  differences,
});

function asItStands({ connectors }: Filled<AccountConfig>): Surroundings {
  const env = connectors.flatMap(({ inject }) => Object.keys(inject?.env ?? {}));
  return { checkUrl: (url) => new URL(url), entryEnv: () => env };
}

function mapIds(
  file: readonly { id: string | undefined; name: string }[],
  present: readonly { id: string | undefined; name: string }[],
  ids: Map<string, string>,
): void {
  for (const { id, name } of file) {
    if (id === undefined || present.some((other) => other.id === id)) continue;
    const byName = present.find((other) => other.name === name)?.id;
    if (byName !== undefined) ids.set(id, byName);
  }
}

function translated(
  limit: AccountObjects['limits'][number],
  ids: ReadonlyMap<string, string>,
): AccountObjects['limits'][number] {
  const to = (id: string | null): string | null => (id === null ? null : (ids.get(id) ?? id));
  return { ...limit, value: { ...limit.value, groupId: to(limit.value.groupId), serverId: to(limit.value.serverId) } };
}

async function clientsWithSecret(tx: Db, accountId: string): Promise<Set<string>> {
  const rows = await tx.query.connectors.findMany({
    where: (connector, { eq }) => eq(connector.accountId, accountId),
    columns: { id: true, oauth: true },
  });
  return new Set(rows.filter((row) => row.oauth?.['hasClientSecret'] === true).map((row) => row.id));
}

async function writeOwn(
  { tx, options }: Writing,
  account: AccountRow,
  wanted: AccountConfig,
  there: Filled<AccountConfig>,
): Promise<AccountChange[]> {
  const names = ['enabled', 'callsPerMinute', 'redirectUris'] as const;
  const given = Object.fromEntries(names.filter((n) => wanted[n] !== undefined).map((n) => [n, wanted[n]]));
  const differences = differing(
    given,
    Object.fromEntries(Object.keys(given).map((n) => [n, there[n as keyof typeof there]])),
  );
  const fields = differences.map(({ field }) => field);
  if (fields.length === 0) return [];
  if (account.name === defaultAccountName && wanted.enabled === false)
    throw new DocumentError(`The account "${defaultAccountName}" cannot be disabled: nobody could manage the others`);
  if (!options.dryRun) {
    const { enabled = there.enabled, callsPerMinute = there.callsPerMinute, redirectUris } = wanted;
    await updateAccount(tx, account.id, { enabled, callsPerMinute });
    if (redirectUris !== undefined && fields.includes('redirectUris'))
      await saveSettings(tx, account.id, { redirectUris });
    await tell(
      { tx, accountId: account.id, options, ids: new Map() },
      'account',
      { what: 'update', fields },
      account.id,
    );
  }
  const { id, name } = account;
  return [{ what: 'update', noun: 'account', account: name, id, name, fields, differences }];
}

async function tell(
  { tx, accountId, options }: Writing,
  noun: ConfigNoun,
  { what, fields }: Pick<Change, 'what' | 'fields'>,
  id: string,
): Promise<void> {
  const details = { source: 'config', ...(what === 'update' && { changed: fields }) };
  await recordEvent(tx, { accountId, actor: null, action: `${noun}.${what}`, outcome: 'ok', target: id, details });
  await options.db.changes.publish(tx, noun === 'server' ? `server:${id}` : topics[noun](accountId));
}

type Writer<T> = (w: Writing, change: Change<T>, beside: AccountObjects['beside']) => Promise<string>;
type ValueOf<K extends keyof Omit<AccountObjects, 'beside'>> = AccountObjects[K][number]['value'];

const connector: Writer<ValueOf<'connectors'>> = async ({ tx, accountId, options }, change, beside) => {
  const { what, name: id, value } = change;
  if (what === 'delete') {
    await deleteConnector(tx, accountId, id);
    return id;
  }
  const { document, clientSecret } = beside.get(id) ?? {};
  if (what === 'create') await insertConnector(tx, accountId, id, value.definition);
  else await updateConnector(tx, accountId, id, value.definition);
  if (document !== undefined) await saveDocument(tx, accountId, id, document);
  const clientId = value.definition.oauth?.clientId;
  if (clientId !== undefined && clientSecret !== undefined)
    await saveOAuthClient(tx, options.keyring, { accountId, connectorId: id, clientId, clientSecret });
  return id;
};

const group: Writer<ValueOf<'groups'>> = async ({ tx, accountId }, { what, id = newId('grp'), value }) => {
  if (what === 'delete') await deleteGroup(tx, accountId, id);
  else if (what === 'update') await updateGroup(tx, accountId, id, value);
  else await insertGroup(tx, accountId, value, id);
  return id;
};

const server: Writer<ValueOf<'servers'>> = async (w, { what, id: given, name, value }) => {
  const { tx, accountId, options } = w;
  const id = given ?? newServerId(name);
  if (what === 'delete') {
    for (const key of await endServerTokens(tx, accountId, id, 0)) await options.db.changes.publish(tx, `key:${key}`);
    await deleteServer(tx, accountId, id);
  } else if (what === 'update') await updateServer(tx, accountId, id, value);
  else await tx.insert(servers).values({ ...value, id, accountId, ownerUserId: null });
  return id;
};

const issuer: Writer<ValueOf<'issuers'>> = async ({ tx, accountId }, { what, id = newId('iss'), value, fields }) => {
  const { name, enabled, config } = value;
  // Its subjects belong to whom it was.
  if (what === 'update' && fields.includes('issuer'))
    throw new DocumentError(`Issuer ${name} cannot become another issuer; give the new one a name and id of its own`);
  if (what === 'delete') await deleteIssuer(tx, accountId, id);
  else if (what === 'update') await updateIssuer(tx, accountId, id, { name, enabled, config });
  else
    await insertIssuer(tx, { id, accountId, name, type: 'jwt', issuer: value.issuer, config, secret: null, enabled });
  return id;
};

const changeable = new Set(['max', 'shared', 'window']);

const limit: Writer<LimitValue> = async ({ tx, accountId }, { what, id = newId('lim'), value, fields }) => {
  const { window, ...rest } = value;
  const windowSeconds = window === 'day' ? null : window;
  const { groupId, serverId, connectorId, action, max, shared } = rest;
  if (what === 'delete') {
    await deleteLimit(tx, accountId, id);
    return id;
  }
  if (what === 'update' && fields.every((field) => changeable.has(field))) {
    await updateLimit(tx, accountId, id, { max, shared, windowSeconds });
    return id;
  }
  // About something else it is another limit, counted from the start.
  if (what === 'update') await deleteLimit(tx, accountId, id);
  if (action !== null && connectorId === null)
    throw new DocumentError('A limit of an action needs the connectorId whose action it is');
  if (groupId !== null) await assertGroup(tx, accountId, groupId);
  if (connectorId !== null) await getConnector(tx, accountId, connectorId);
  if (serverId !== null && (await findServer(tx, accountId, serverId)) === undefined)
    throw new DocumentError(`A limit names the server ${serverId}, which this account does not have`);
  await insertLimit(tx, { ...rest, windowSeconds, accountId, userId: null }, id);
  return id;
};

const writers = { connector, group, server, issuer, limit };
