// The objects of an account in the form that is compared and written: every default filled in, ids apart, documents read. Both sides of a
// comparison pass through here, a file's and the database's. No database.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { blankDefinition, type Definition, mergeDefinition, type Surroundings } from '../connectors/definition.ts';
import type { CompiledDocument } from '../connectors/openapi/document.ts';
import { importDocument } from '../connectors/openapi/import.ts';
import type { ImportedFacts } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import {
  type AccountConfig,
  type ConnectorConfig,
  DocumentError,
  type Filled,
  type GroupConfig,
  type IssuerConfig,
  type LimitConfig,
  type ServerConfig,
} from './document.ts';
import type { ConfigObject } from './plan.ts';

const unpack = promisify(gunzip);
const pack = promisify(gzip);

export interface ConnectorValue {
  definition: Definition;
  /** SHA-256 of the compiled document. */
  document: string | null;
}
export type GroupValue = { name: string; description: string | null } & NonNullable<GroupConfig['access']>;
export type ServerValue = Filled<Omit<ServerConfig, 'serverId'>>;
export type LimitValue = Filled<Omit<LimitConfig, 'limitId'>>;
export type IssuerValue = Filled<Omit<IssuerConfig, 'issuerId'>>;

/** What a connector brings beside its definition. */
export interface Beside {
  document: Uint8Array | undefined;
  clientSecret: string | undefined;
}

export interface AccountObjects {
  connectors: ConfigObject<ConnectorValue>[];
  groups: ConfigObject<GroupValue>[];
  servers: ConfigObject<ServerValue>[];
  limits: ConfigObject<LimitValue>[];
  issuers: ConfigObject<IssuerValue>[];
  beside: ReadonlyMap<string, Beside>;
}

export interface ReadingOptions {
  around: Surroundings;
  /** For `clientSecret: ${NAME}`. */
  env: Readonly<Record<string, string | undefined>>;
  /** The definition that is there, whose client's secret stays where the file says nothing else. */
  before(connectorId: string): Definition | undefined;
}

/** Throws DocumentError or Refusal (INVALID_REQUEST) where an object cannot be. */
export async function objectsOf(config: AccountConfig, options: ReadingOptions): Promise<AccountObjects> {
  const beside = new Map<string, Beside>();
  const connectors: ConfigObject<ConnectorValue>[] = [];
  for (const given of config.connectors ?? []) {
    const { value, ...rest } = await connectorValue(given, options);
    beside.set(given.connectorId, rest);
    connectors.push({ id: given.connectorId, name: given.connectorId, value });
  }
  return {
    connectors,
    groups: (config.groups ?? []).map(({ groupId, name, description, access }) => ({
      id: groupId,
      name,
      value: { name, description: description ?? null, ...(access ?? { allowed: [], blocked: [], permissions: [] }) },
    })),
    servers: (config.servers ?? []).map(({ serverId, ...given }) => ({
      id: serverId,
      name: given.name,
      value: serverValue(given),
    })),
    limits: (config.limits ?? []).map(({ limitId, ...given }) => {
      const { groupId = null, serverId = null, connectorId = null, action = null, shared = false, ...rest } = given;
      const value = { groupId, serverId, connectorId, action, shared, ...rest };
      // What it is about: two limits on the same are told apart by their window.
      const name = JSON.stringify([groupId, serverId, connectorId, action, shared, rest.window]);
      return { id: limitId, name, value };
    }),
    issuers: (config.issuers ?? []).map(({ issuerId, ...given }) => ({
      id: issuerId,
      name: given.name,
      value: { ...given, enabled: given.enabled ?? true },
    })),
    beside,
  };
}

const serverDefaults: Omit<ServerValue, 'name' | 'connectors'> = {
  description: null,
  customInstructions: null,
  isPublic: false,
  restrictions: null,
  mode: 'connectivity',
  prefix: 'connector',
  sessions: 'auto',
  onUnknownUser: 'reject',
  fullResults: false,
  requires: null,
  rateLimit: null,
  actsForUsers: true,
};

function serverValue(given: Omit<ServerConfig, 'serverId'>): ServerValue {
  const { connectors, ...rest } = given;
  const sent = Object.fromEntries(Object.entries(rest).filter(([, field]) => field !== undefined));
  const value: ServerValue = Object.assign({ ...serverDefaults, name: rest.name }, sent, {
    connectors: connectors ? [...new Set(connectors)] : null,
  });
  if (value.prefix === 'none' && value.connectors?.length !== 1)
    throw new DocumentError(`Server ${value.name}: prefix "none" needs exactly one connector`);
  return value;
}

async function connectorValue(
  given: ConnectorConfig,
  { around, env, before }: ReadingOptions,
): Promise<Beside & { value: ConnectorValue }> {
  const { connectorId, kind, document, openapi, ...sent } = given;
  const there = before(connectorId);
  if (there !== undefined && there.kind !== kind)
    throw new DocumentError(`Connector ${connectorId} is of kind ${there.kind}; delete it first, or choose another id`);
  const read = await readDocument(connectorId, document, openapi);
  const clientSecret = expand(sent.oauth?.clientSecret, env);
  const oauth = sent.oauth && { ...sent.oauth, clientSecret };
  const blank = { ...blankDefinition(connectorId, kind), oauth: there?.oauth ?? null };
  const all = { ...sent, oauth: kind === 'mcp-stdio' ? oauth : (oauth ?? null), imported: read?.facts };
  const definition = named(connectorId, () => mergeDefinition(blank, all, around));
  if (kind === 'http' && read === undefined)
    throw new DocumentError(`Connector ${connectorId}: a connector of kind http needs its document`);
  return { value: { definition, document: read?.digest ?? null }, document: read?.bytes, clientSecret };
}

/** A file has many connectors, so a refusal of one says which, and all that is wrong with it. */
function named<T>(connectorId: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const issues = (error.details?.['issues'] ?? []) as { path: string; message: string }[];
    const places = issues.map(({ path, message }) => `\n- ${path}: ${message.replace(/\.$/, '')}`).join('');
    throw new DocumentError(`Connector ${connectorId} is refused${places || `: ${error.message}`}`);
  }
}

function expand(text: string | undefined, env: ReadingOptions['env']): string | undefined {
  const name = /^\$\{(\w+)\}$/.exec(text ?? '')?.[1];
  if (name === undefined) return text;
  const value = env[name];
  if (!value) throw new DocumentError(`clientSecret names the variable ${name}, which is not set`);
  return value;
}

async function readDocument(
  connectorId: string,
  document: ConnectorConfig['document'],
  openapi: unknown,
): Promise<{ facts: ImportedFacts; digest: string; bytes: Uint8Array } | undefined> {
  const factsOf = ({ title, version, operations }: CompiledDocument, warnings: ImportedFacts['warnings']) => ({
    title,
    version,
    operations: operations.length,
    warnings,
  });
  const digestOf = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex');
  if (document !== undefined) {
    const bytes = Buffer.from(document.compiled, 'base64');
    const text = await unpack(bytes).catch(() => {
      throw new DocumentError(`Connector ${connectorId}: document.compiled is not what an export wrote`);
    });
    const compiled = JSON.parse(text.toString('utf8')) as CompiledDocument;
    return { facts: factsOf(compiled, document.warnings), digest: digestOf(text), bytes };
  }
  if (openapi === undefined) return undefined;
  const { compiled, warnings } = importDocument(openapi);
  const text = JSON.stringify(compiled);
  return { facts: factsOf(compiled, warnings), digest: digestOf(text), bytes: await pack(text) };
}
