// A gateway's configuration as one file: accounts with their connectors, groups, servers, limits and issuers. Reads and prints YAML, checks its
// form. Pure. It never holds users, keys, secrets or what was recorded; a client's secret may be named by a variable: `clientSecret: ${NAME}`.
import {
  access,
  actionId,
  connectorId,
  connectorKind,
  connectorUpdate,
  issuer as issuerShown,
  limitRule,
  opaqueId,
  serverName,
  serverUpdate,
  text,
} from '@mcp-valet/shared';
import { CORE_SCHEMA, dump, load, YAMLException } from 'js-yaml';
import * as z from 'zod/mini';
import { linesOf } from './places.ts';

export const format = 'mcp-valet/config/1';

/** Whoever writes a file by hand leaves ids out: then the name decides, of limits what they are about. */
const id = z.optional(opaqueId);

const connector = z.extend(connectorUpdate, {
  connectorId,
  kind: connectorKind,
  /** The OpenAPI document as the gateway has compiled it, gzip in base64. By hand: `openapi` with the document, its text, or a path beside the file. */
  document: z.optional(
    z.strictObject({
      compiled: z.string(),
      warnings: z.array(z.strictObject({ path: z.string(), message: z.string() })),
    }),
  ),
});
const group = z.strictObject({
  groupId: id,
  name: text(100, 1),
  description: z.optional(z.nullable(text(2000))),
  access: z.optional(access),
});
const server = z.extend(serverUpdate, { serverId: id, name: serverName, actsForUsers: z.optional(z.boolean()) });
const limit = z.strictObject({
  limitId: id,
  groupId: z.optional(z.nullable(opaqueId)),
  serverId: z.optional(z.nullable(opaqueId)),
  connectorId: z.optional(z.nullable(connectorId)),
  action: z.optional(z.nullable(actionId)),
  max: limitRule.shape.max,
  window: limitRule.shape.window,
  shared: z.optional(z.boolean()),
});
/** As stored, with every default decided. Those with a secret are not in a file. */
const issuer = z.strictObject({
  issuerId: id,
  name: text(100, 1),
  issuer: text(2048, 1),
  config: z.extend(
    z.omit(issuerShown, {
      issuerId: true,
      name: true,
      type: true,
      issuer: true,
      enabled: true,
      createdAt: true,
      updatedAt: true,
    }),
    { requiresType: z.boolean() },
  ),
  enabled: z.optional(z.boolean()),
});

const account = z.strictObject({
  name: text(100, 1),
  enabled: z.optional(z.boolean()),
  callsPerMinute: z.optional(z.nullable(z.int().check(z.minimum(1), z.maximum(1_000_000)))),
  redirectUris: z.optional(z.array(text(2048, 1)).check(z.maxLength(100))),
  connectors: z.optional(z.array(connector)),
  groups: z.optional(z.array(group)),
  servers: z.optional(z.array(server)),
  limits: z.optional(z.array(limit)),
  issuers: z.optional(z.array(issuer)),
});
const document = z.strictObject({ format: z.literal(format), accounts: z.array(account) });

export type ConfigDocument = z.output<typeof document>;
export type AccountConfig = z.output<typeof account>;
export type ConnectorConfig = z.output<typeof connector>;
export type GroupConfig = z.output<typeof group>;
export type ServerConfig = z.output<typeof server>;
export type LimitConfig = z.output<typeof limit>;
export type IssuerConfig = z.output<typeof issuer>;

/** With every field set. */
export type Filled<T> = { [K in keyof T]-?: Exclude<T[K], undefined> };

export class DocumentError extends Error {
  override readonly name = 'DocumentError';
}

/** Throws DocumentError that names every wrong place. */
export function parseDocument(yaml: string): ConfigDocument {
  let value: unknown;
  try {
    value = load(yaml, { schema: CORE_SCHEMA });
  } catch (error) {
    if (error instanceof YAMLException) throw new DocumentError(`The file is not YAML: ${error.message}`);
    throw error;
  }
  const parsed = document.safeParse(value);
  if (!parsed.success) {
    const lineOf = linesOf(yaml);
    const places = parsed.error.issues.map((issue) => {
      const wrongKey = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
      const line = lineOf([...issue.path, ...wrongKey]);
      return { line, text: `- line ${line}, ${issue.path.join('.') || '(file)'}: ${issue.message}` };
    });
    const lines = places.sort((a, b) => a.line - b.line).map(({ text }) => text);
    throw new DocumentError(`The file is not a configuration:\n${[...new Set(lines)].join('\n')}`);
  }
  assertUnique(parsed.data);
  return parsed.data;
}

function assertUnique({ accounts }: ConfigDocument): void {
  const twice = (what: string, names: (string | undefined)[]): void => {
    const seen = new Set<string>();
    for (const name of names) {
      if (name !== undefined && seen.has(name)) throw new DocumentError(`${what} ${name} is in the file twice`);
      if (name !== undefined) seen.add(name);
    }
  };
  const all = <T>(of: (given: AccountConfig) => readonly T[] | undefined): T[] => accounts.flatMap((a) => of(a) ?? []);
  twice(
    'The account',
    accounts.map((a) => a.name),
  );
  twice(
    'The server',
    all((a) => a.servers).map((s) => s.serverId),
  );
  twice(
    'The group',
    all((a) => a.groups).map((g) => g.groupId),
  );
  twice(
    'The limit',
    all((a) => a.limits).map((l) => l.limitId),
  );
  twice(
    'The issuer',
    all((a) => a.issuers).map((i) => i.issuerId),
  );
  for (const given of accounts) {
    const of = ` of account ${given.name}:`;
    twice(
      `The connector${of}`,
      (given.connectors ?? []).map((c) => c.connectorId),
    );
    twice(
      `The group${of}`,
      (given.groups ?? []).map((g) => g.name),
    );
    twice(
      `The server${of}`,
      (given.servers ?? []).map((s) => s.name),
    );
    twice(
      `The issuer${of}`,
      (given.issuers ?? []).map((i) => i.name),
    );
  }
}

/** `notes` become comments at its top: what belongs to the configuration and is not in the file. */
export function printDocument(value: ConfigDocument, notes: readonly string[]): string {
  const head = ['MCP Valet configuration: mcp-valet config apply FILE', ...notes].map((line) => `# ${line}\n`).join('');
  return `${head}${dump(value, { schema: CORE_SCHEMA, lineWidth: -1, noRefs: true })}`;
}
