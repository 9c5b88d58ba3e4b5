// What the call plane knows about the things of an account: read-only snapshots, as the directory caches them. Types only.
import type { ConnectorKind, Inject, OAuthSettings, Permission, Requirement, Restrictions } from '@mcp-valet/shared';
import type { SealedSecret } from '../credentials/vault.ts';
import type { FoundIssuer } from '../db/find-issuer.ts';

export interface UserRecord {
  id: string;
  accountId: string;
  username: string;
  enabled: boolean;
  allowed: readonly string[];
  blocked: readonly string[];
  /** Rules of the user's own that go down to actions. */
  permissions: readonly Permission[];
  /** The groups it is in, by id. */
  groups: readonly GroupRecord[];
  /** User tokens issued before this moment are refused. */
  tokensNotBefore: Date | null;
}

/** What a group adds to the rights of its members. */
export interface GroupRecord {
  id: string;
  name: string;
  allowed: readonly string[];
  blocked: readonly string[];
  permissions: readonly Permission[];
}

/** A limit or quota of the account's own; a call counts where every selector that is set fits. */
export interface LimitRecord {
  id: string;
  userId: string | null;
  groupId: string | null;
  serverId: string | null;
  connectorId: string | null;
  action: string | null;
  max: number;
  /** Null: a day, from midnight UTC. */
  windowSeconds: number | null;
  shared: boolean;
}

/** An issuer of user tokens, as sign-in reads it. */
export type IssuerRecord = FoundIssuer;

/** What limits all users of an account alike. */
export interface AccountRecord {
  id: string;
  enabled: boolean;
  callsPerMinute: number | null;
}

export interface ServerRecord {
  id: string;
  accountId: string;
  name: string;
  customInstructions: string | null;
  mode: 'connectivity' | 'direct';
  connectors: readonly string[] | null;
  prefix: 'connector' | 'none';
  sessions: 'auto' | 'always' | 'never';
  /** Large results of REST connectors are not cut for a model. */
  fullResults: boolean;
  onUnknownUser: 'reject' | 'fallback';
  rateLimit: { max: number; windowSeconds: number } | null;
  restrictions: Restrictions | null;
  requires: readonly Requirement[] | null;
  actsForUsers: boolean;
  version: number;
}

/** What was imported of an OpenAPI document, and what of it cannot be called. The document itself is stored apart. */
export interface ImportedFacts {
  title: string;
  version: string;
  operations: number;
  warnings: { path: string; message: string }[];
}

/** What one kind needs beside what all have. Only its own fields are set. */
export interface KindConfig {
  url?: string;
  headers?: Record<string, string>;
  transport?: 'streamable-http' | 'sse';
  entry?: string;
  baseUrl?: string;
  auth?: Record<string, Record<string, string>>;
  openapi?: ImportedFacts;
}

/** OAuth settings as stored: the client's secret is elsewhere, sealed. */
export type OAuthConfig = Omit<OAuthSettings, 'clientSecret'> & { hasClientSecret: boolean };

export interface ConnectorRecord {
  id: string;
  accountId: string;
  name: string;
  description: string | null;
  category: readonly string[];
  kind: ConnectorKind;
  /** Of `mcp-http` the endpoint, of `http` where the API is ('' = where its document says), of `mcp-stdio` ''. */
  url: string;
  headers: Readonly<Record<string, string>>;
  transport: 'streamable-http' | 'sse';
  /** Of `mcp-stdio`: the name in the operator's catalogue. */
  entry: string | null;
  /** Of `http`: scheme -> part -> secret name. */
  auth: Readonly<Record<string, Readonly<Record<string, string>>>> | null;
  /** How users sign in; null: by secrets only. */
  oauth: OAuthConfig | null;
  /** Whether somebody else's shared credential may serve users who have none. */
  allowShared: boolean;
  requires: readonly Requirement[] | null;
  inject: Inject | null;
  secretNames: readonly string[];
  /** Secrets without which a call makes no sense: the declared ones and those that `inject` names. */
  requiredSecrets: readonly string[];
  timeoutMs: number | null;
  enabled: boolean;
  version: number;
}

export interface CredentialRecord {
  id: string;
  accountId: string;
  userId: string;
  connectorId: string;
  type: 'api_key' | 'secrets' | 'oauth2';
  label: string | null;
  status: 'valid' | 'pending' | 'expiring' | 'reauth_required' | 'unreachable';
  isDefault: boolean;
  /** Whether it may serve others of the account. */
  shared: boolean;
  /** Where it is shared with members of some groups only: their ids. */
  groupIds: readonly string[] | null;
  scopes: readonly string[] | null;
  /** Of oauth2: when the access token ends; null: unknown or no token. */
  tokenExpiresAt: Date | null;
  lastError: string | null;
  version: number;
  createdAt: Date;
  updatedAt: Date;
  secrets: readonly SealedSecret[];
}
