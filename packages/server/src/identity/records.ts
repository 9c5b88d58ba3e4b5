// What the call plane knows about the things of an account: read-only snapshots, as the directory caches them. Types only.
import type { Inject, Restrictions } from '@mcp-valet/shared';
import type { SealedSecret } from '../credentials/vault.ts';

export interface UserRecord {
  id: string;
  accountId: string;
  username: string;
  enabled: boolean;
  allowed: readonly string[];
  blocked: readonly string[];
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
  onUnknownUser: 'reject' | 'fallback';
  rateLimit: { max: number; windowSeconds: number } | null;
  restrictions: Restrictions | null;
  actsForUsers: boolean;
  version: number;
}

export interface ConnectorRecord {
  id: string;
  accountId: string;
  name: string;
  description: string | null;
  category: readonly string[];
  kind: 'mcp-http';
  url: string;
  headers: Readonly<Record<string, string>>;
  transport: 'streamable-http' | 'sse';
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
  version: number;
  createdAt: Date;
  updatedAt: Date;
  secrets: readonly SealedSecret[];
}
