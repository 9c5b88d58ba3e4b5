// The one key for everything that is kept per upstream: clients, sessions, lists, verdicts. Branded, and made only here, so that nothing
// can be pooled or cached without naming account, user and credential: forgetting one of them is how data crosses users.
declare const brand: unique symbol;
export type UpstreamKey = string & { readonly [brand]: true };

export interface UpstreamKeyParts {
  accountId: string;
  /** Whose credential it is; null where nobody's is used. */
  userId: string | null;
  connectorId: string;
  connectorVersion: number;
  credentialId: string | null;
  credentialVersion: number;
  /** The caller's session, where what is kept belongs to it alone. */
  sessionId?: string | undefined;
  /** Digest of what the caller's token says, where the connector is told so: two tokens of one user may differ. */
  claims?: string | undefined;
}

export function upstreamKey(parts: UpstreamKeyParts): UpstreamKey {
  const { accountId, userId, connectorId, connectorVersion, credentialId, credentialVersion, sessionId, claims } =
    parts;
  // JSON keeps the parts apart whatever characters they hold.
  const key = [accountId, userId, connectorId, connectorVersion, credentialId, credentialVersion];
  if (sessionId !== undefined || claims !== undefined) key.push(sessionId ?? null);
  if (claims !== undefined) key.push(claims);
  return JSON.stringify(key) as UpstreamKey;
}

/** What a key names. */
export function readUpstreamKey(key: UpstreamKey): UpstreamKeyParts {
  const [accountId, userId, connectorId, connectorVersion, credentialId, credentialVersion, sessionId, claims] =
    JSON.parse(key) as [
      string,
      string | null,
      string,
      number,
      string | null,
      number,
      string | null | undefined,
      string?,
    ];
  return {
    accountId,
    userId,
    connectorId,
    connectorVersion,
    credentialId,
    credentialVersion,
    sessionId: sessionId ?? undefined,
    claims,
  };
}

/** Whether the key belongs to this caller session, and to this connector if one is named. */
export function isOfSession(key: UpstreamKey, sessionId: string, connectorId?: string): boolean {
  const parts = readUpstreamKey(key);
  return parts.sessionId === sessionId && (connectorId === undefined || parts.connectorId === connectorId);
}

/** Sockets may be shared by the users of a connector: a socket carries no identity. */
export const poolKey = (accountId: string, connectorId: string): string => `${accountId}/${connectorId}`;
