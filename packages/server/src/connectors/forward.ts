// Build, send, read: turns one user's wish to touch a connector into a request with that user's secrets in the declared slots, and what
// comes back into a result or a failure. Secrets are opened here for the length of one request. The caller's own headers are never seen.

import { createHash } from 'node:crypto';
import { type Inject, isOAuthSecret, oauthSecrets, templateNames } from '@mcp-valet/shared';
import type { Vault } from '../credentials/vault.ts';
import type { ConnectorRecord, CredentialRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import type { CallerSession, Upstream } from './backend.ts';
import { claimText, type Identity } from './inject.ts';
import { createScrub } from './scrub.ts';
import { type UpstreamKey, upstreamKey } from './upstream-key.ts';

const noScrub = createScrub([]);
const noSecrets: ReadonlyMap<string, string> = new Map();

/** Whether what this connector is sent depends on the user even without a credential. */
function namesUser(connector: ConnectorRecord): boolean {
  return JSON.stringify(connector.inject ?? {}).includes('{{');
}

/** The claims that the connector's templates name. Kept by the identity of `inject`: the same object until the connector changes. */
function claimNames(inject: Inject | null): readonly string[] {
  if (inject === null) return [];
  const known = namesOf.get(inject);
  if (known !== undefined) return known;
  const slots = [inject.headers, inject.query, inject.args, inject.env];
  const templates = slots.flatMap((slot) => (slot === undefined || slot === 'all' ? [] : Object.values(slot)));
  const names = [...new Set(templates.flatMap(templateNames))].filter((name) => name.startsWith('claims.')).sort();
  namesOf.set(inject, names);
  return names;
}
const namesOf = new WeakMap<Inject, readonly string[]>();

/** Claims that the connector is told and this caller's token does not have. */
export const missingClaims = (connector: ConnectorRecord, user: Identity | null): string[] =>
  claimNames(connector.inject).filter((name) => claimText(user, name) === undefined);

function claimsDigest(connector: ConnectorRecord, user: Pick<Identity, 'claims'> | null): string | undefined {
  const names = claimNames(connector.inject);
  if (names.length === 0) return undefined;
  const values = names.map((name) => claimText(user, name) ?? null);
  return createHash('sha256').update(JSON.stringify(values)).digest('base64url');
}

/** Whether what is kept belongs to one user even without a credential. A child process remembers what it was told. */
const isPersonal = (connector: ConnectorRecord): boolean => connector.kind === 'mcp-stdio' || namesUser(connector);

/** Under which key things may be kept for this user, connector and credential. Users without a credential share what nobody's is. */
export function keyFor(
  connector: ConnectorRecord,
  user: Pick<Identity, 'id' | 'claims'> | null,
  credential: CredentialRecord | null,
  session?: CallerSession,
): UpstreamKey {
  return upstreamKey({
    accountId: connector.accountId,
    userId: credential === null && session === undefined && !isPersonal(connector) ? null : (user?.id ?? null),
    connectorId: connector.id,
    connectorVersion: connector.version,
    credentialId: credential?.id ?? null,
    credentialVersion: credential?.version ?? 0,
    sessionId: session?.id,
    claims: claimsDigest(connector, user),
  });
}

/** Opens the credential for one request. The plaintext lives in the returned object only; drop it when the request has ended. */
export async function openUpstream(
  vault: Pick<Vault, 'open'>,
  connector: ConnectorRecord,
  user: Identity | null,
  credential: CredentialRecord | null,
  session?: CallerSession,
): Promise<Upstream> {
  const missing = missingClaims(connector, user);
  if (missing.length > 0) {
    throw new Refusal('FORBIDDEN', `Connector ${connector.id} needs a user token with ${missing.join(', ')}`, {
      reason: 'claim_missing',
      word: 'not_allowed',
      details: { missing },
    });
  }
  const identity: Identity | null =
    user === null ? null : { id: user.id, username: user.username, claims: user.claims ?? null };
  const base = {
    key: keyFor(connector, user, credential, session),
    connector,
    user: identity,
    credentialId: credential?.id ?? null,
    session,
  };
  if (credential === null) return { ...base, secrets: noSecrets, scrub: noScrub };
  const place = {
    account: connector.accountId,
    user: credential.userId,
    connector: connector.id,
    credential: credential.id,
  };
  // What renews a grant is nobody's business but the refresher's.
  const usable = credential.secrets.filter(({ name }) => !isOAuthSecret(name) || name === oauthSecrets.access);
  const secrets = await vault.open(place, usable);
  return { ...base, secrets, scrub: createScrub(secrets.values()) };
}

/** Whether the connector lists the same for everybody, also for who has no credential. */
export const listsWithoutCredential = (connector: ConnectorRecord): boolean =>
  connector.kind === 'http' || (connector.requiredSecrets.length === 0 && !namesUser(connector));
