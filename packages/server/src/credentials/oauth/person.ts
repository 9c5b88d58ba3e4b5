// Who stands in front of a sign-in link: proven by a ticket of the account's backend or by the user's own standard key, then held by a cookie
// of this browser. Everybody else is a miss, which is recorded and counted. Also what such a person may type in. No HTTP here.
import { secretValue } from '@mcp-valet/shared';
import { recordEvent } from '../../audit/record.ts';
import { getConnector } from '../../connectors/store.ts';
import type { Parts } from '../../context.ts';
import { withScope } from '../../db/scope.ts';
import type { Principal } from '../../identity/principal.ts';
import { getCredential } from '../find.ts';
import { updateCredential } from '../store.ts';
import { secretsToAskFor } from './ask.ts';
import { type Asked, eventOf } from './authorize.ts';
import { findLink } from './connect.ts';
import {
  countMiss,
  findLiveLink,
  finishLink,
  hashOf,
  isSameHash,
  type LiveLink,
  newToken,
  setBrowser,
  spendTicket,
} from './connect-store.ts';

export type PersonParts = Pick<Parts, 'db' | 'keyring' | 'vault' | 'trail'>;

const scopeOf = (link: LiveLink) => ({ account: link.accountId, user: link.userId });

/** The link behind an id or a state, while it can be used. */
export async function openLink(
  parts: PersonParts,
  kind: 'link' | 'state',
  token: string | undefined,
): Promise<LiveLink | undefined> {
  const hash = hashOf(parts.keyring, kind, token);
  const found = await findLink(parts, hash);
  if (found === undefined) return undefined;
  const link = await withScope(parts.db, { account: found.accountId, user: found.userId }, (tx) =>
    findLiveLink(tx, found.accountId, found.hash),
  );
  // Between the two look-ups the state may have been spent.
  return kind === 'state' && !isSameHash(link?.stateHash, hash) ? undefined : link;
}

/** Whether this browser is the one in which the link's user has been proven. */
export const isProven = (parts: PersonParts, link: LiveLink, browser: string | undefined): boolean =>
  isSameHash(link.browserHash, hashOf(parts.keyring, 'browser', browser));

/** Trades a ticket for a browser; undefined when it is not one of this link, was used, or is over. */
export async function proveByTicket(parts: PersonParts, link: LiveLink, ticket: string): Promise<string | undefined> {
  const ticketHash = hashOf(parts.keyring, 'ticket', ticket);
  if (ticketHash === undefined) return undefined;
  const browser = newToken();
  const browserHash = hashOf(parts.keyring, 'browser', browser) as Buffer;
  const isSpent = await withScope(parts.db, scopeOf(link), (tx) =>
    spendTicket(tx, link.accountId, link.hash, ticketHash, browserHash),
  );
  return isSpent ? browser : undefined;
}

/** A user's own key proves that user, and nobody else: a key that acts for others proves a backend, not a person. */
export const isUserOf = (link: LiveLink, principal: Principal): boolean =>
  principal.kind === 'std' && principal.accountId === link.accountId && principal.userId === link.userId;

/** Holds the browser in which the user's key was given. Undefined when the link ended meanwhile. */
export async function holdBrowser(parts: PersonParts, link: LiveLink): Promise<string | undefined> {
  const browser = newToken();
  const browserHash = hashOf(parts.keyring, 'browser', browser) as Buffer;
  const isHeld = await withScope(parts.db, scopeOf(link), (tx) =>
    setBrowser(tx, link.accountId, link.hash, browserHash),
  );
  return isHeld ? browser : undefined;
}

/** Somebody else, or somebody with nothing to show: counted on the link and told in its account. */
export async function noteMiss(
  parts: PersonParts,
  link: LiveLink,
  asked: Asked,
  reason: string,
  principal?: Principal,
): Promise<void> {
  const isVoid = await withScope(parts.db, scopeOf(link), (tx) => countMiss(tx, link.accountId, link.hash));
  // A key of another account says nothing here: not even that there is such a key.
  const isOurs = principal?.accountId === link.accountId;
  await parts.trail.refused({
    ...eventOf(link, asked),
    actor: isOurs ? { keyId: principal.keyId, kind: principal.kind, userId: principal.userId } : null,
    outcome: 'refused',
    reason,
    details: { connector: link.connectorId, void: isVoid },
  });
}

/** The names that the page asks for. */
export const askedSecrets = (parts: PersonParts, link: LiveLink): Promise<string[]> =>
  withScope(parts.db, scopeOf(link), async (tx) =>
    secretsToAskFor(await getConnector(tx, link.accountId, link.connectorId)),
  );

/** Seals what was typed and ends the link; false when it had ended. Undefined when a value cannot be a secret. */
export async function saveTyped(
  parts: PersonParts,
  link: LiveLink,
  values: Readonly<Record<string, string>>,
  asked: Asked,
): Promise<boolean | undefined> {
  if (!Object.values(values).every((value) => secretValue.safeParse(value).success)) return undefined;
  return withScope(parts.db, scopeOf(link), async (tx) => {
    if (!(await finishLink(tx, link, 'open'))) return false;
    const credential = await getCredential(tx, link.accountId, link.credentialId);
    await updateCredential(tx, parts.vault, credential, { fields: values });
    const details = { connector: link.connectorId, names: Object.keys(values) };
    await recordEvent(tx, { ...eventOf(link, asked), outcome: 'ok', details });
    await parts.db.changes.publish(tx, `user:${link.userId}`);
    return true;
  });
}
