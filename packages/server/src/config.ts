// The only reader of process.env: turns variables into one typed object, or names every wrong one at once.
// Knows nothing else of ours and opens nothing; secrets are wrapped so that printing the object cannot show them.
import { isIP } from 'node:net';
import type { z } from 'zod';
import { variables } from './config-variables.ts';
import { Secret } from './secret.ts';

export { Secret } from './secret.ts';

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? 'a wrong value' : `${problems.length} wrong values`}:\n${problems.map((p) => `- ${p}`).join('\n')}`,
    );
    this.problems = problems;
  }
}

export type DatabaseTarget =
  | { kind: 'postgres'; url: Secret; migrateUrl: Secret | undefined }
  | { kind: 'pglite'; url: Secret; dir: string }
  | { kind: 'pglite'; url: Secret; dir: undefined };

export interface AdminOidc {
  /** Exactly as the issuer writes it. */
  issuer: string;
  clientId: string;
  clientSecret: Secret | undefined;
  /** `email:…`, `sub:…` or `group:…`; one that fits lets in. */
  allow: readonly string[];
  /** Name of the account that they manage. */
  account: string;
}

export interface Config {
  host: string;
  port: number;
  /** Without a trailing slash. Where users' clients reach us; `http://host:port` when unset. */
  publicUrl: string;
  /** Host names that requests may carry: the public one, plus loopback names when bound to loopback, plus VALET_ALLOWED_HOSTS. */
  allowedHosts: readonly string[];
  /** Addresses or CIDR blocks of proxies whose forwarding headers count. Empty: the socket address counts. */
  trustProxy: readonly string[];
  database: DatabaseTarget;
  masterKey: Secret | undefined;
  masterKeyFile: string | undefined;
  /** The key that is to take its place; both open what is stored until the rotation is done. */
  nextMasterKey: Secret | undefined;
  nextMasterKeyFile: string | undefined;
  apiKey: Secret | undefined;
  onUnknownUser: 'reject' | 'fallback';
  allowedUpstreamCidrs: readonly string[];
  /** JSON file with the commands that `mcp-stdio` connectors may name. Unset: there are no such connectors. */
  stdioCatalogFile: string | undefined;
  /** Whether those commands run in bubblewrap: where it works, never, or not at all without it. */
  stdioSandbox: 'auto' | 'off' | 'require';
  /** File to which every checkpoint of the audit trail is appended. Unset: checkpoints are in the log and in the database only. */
  auditCheckpointFile: string | undefined;
  /** Days that the audit trail and the journal are kept. Unset: for ever. */
  auditRetentionDays: number | undefined;
  /** Where rate limits are counted: in this process, or where all replicas count. The URL with `redis`, and only then. */
  rateLimitStore: { kind: 'memory' | 'postgres' | 'redis'; redisUrl: Secret | undefined };
  /** Whoever has it may read /metrics. Unset: nothing is counted and there is no such path. */
  metricsToken: Secret | undefined;
  /** How long a stopping gateway still serves while it says that it is not ready. */
  shutdownDelayMs: number;
  /** Where people sign in to the dashboard besides with keys, and who may. Unset: with keys only. */
  adminOidc: AdminOidc | undefined;
  /** The collector that traces are sent to. Unset: nothing is traced, trace context passes through. */
  traces: { url: string; headers: Secret | undefined; serviceName: string } | undefined;
  logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  /** To be logged at start: variables that look like ours and are not. */
  warnings: readonly string[];
  limits: {
    callsPerMinute: number;
    listsPerMinute: number;
    managementPerMinute: number;
    concurrentCalls: number;
    bodyBytes: number;
    managementBodyBytes: number;
    resultBytes: number;
    callTimeoutMs: number;
  };
}

const mib = 1024 * 1024;

/** Variables that a configuration file names by itself, such as the secret of an OAuth client. */
export const environment = (
  env: Readonly<Record<string, string | undefined>> = process.env,
): Readonly<Record<string, string | undefined>> => env;

export function loadConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  // An empty variable is an unset one: compose files and shells write `NAME=` for "not given".
  const given = Object.fromEntries(
    Object.keys(variables.shape).flatMap((name) => (env[name] ? [[name, env[name]]] : [])),
  );
  const parsed = variables.safeParse(given);
  const problems = parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
  if (given.VALET_MASTER_KEY && given.VALET_MASTER_KEY_FILE)
    problems.push('VALET_MASTER_KEY and VALET_MASTER_KEY_FILE are both set; keep one');
  if (given.VALET_MASTER_KEY_NEXT && given.VALET_MASTER_KEY_NEXT_FILE)
    problems.push('VALET_MASTER_KEY_NEXT and VALET_MASTER_KEY_NEXT_FILE are both set; keep one');
  const isPostgres = /^postgres/.test(given.DATABASE_URL ?? '');
  if (isPostgres && !given.VALET_MASTER_KEY && !given.VALET_MASTER_KEY_FILE) {
    problems.push(
      'VALET_MASTER_KEY or VALET_MASTER_KEY_FILE must be set with PostgreSQL; make a key with "openssl rand -base64 32"',
    );
  }
  if (given.VALET_MIGRATE_URL && !isPostgres)
    problems.push('VALET_MIGRATE_URL is set but DATABASE_URL is not PostgreSQL; remove it');
  const store = given.VALET_RATE_LIMIT_STORE;
  if (store === 'redis' && !given.REDIS_URL) problems.push('VALET_RATE_LIMIT_STORE is redis but REDIS_URL is not set');
  if (store === 'postgres' && !isPostgres)
    problems.push('VALET_RATE_LIMIT_STORE is postgres but DATABASE_URL is not PostgreSQL');
  problems.push(...oidcProblems(given));
  if (!parsed.success || problems.length > 0) throw new ConfigError([...new Set(problems)]);
  // A misspelt name silently counts as unset. Only a warning: orchestrators inject names of their own (VALET_SERVICE_HOST).
  const unknown = Object.keys(env).filter((name) => name.startsWith('VALET_') && !(name in variables.shape));
  const proxies = Object.keys(env).filter((name) => /^(HTTPS?|ALL)_PROXY$/i.test(name) && env[name]);
  return assemble(parsed.data, [
    ...(given.REDIS_URL && ['memory', 'postgres'].includes(store ?? '')
      ? [`REDIS_URL is set and not used: VALET_RATE_LIMIT_STORE is ${store}`]
      : []),
    ...unknown.sort().map((name) => `${name} is not a variable of this version and is ignored`),
    // Through a proxy the addresses that a request reaches could not be checked.
    ...proxies
      .sort()
      .map((name) => `${name} is set and not used: requests to upstreams go out directly, to checked addresses`),
  ]);
}

/** Half a sign-in is none, and one that lets nobody or everybody in is a mistake. */
function oidcProblems(given: Readonly<Record<string, string | undefined>>): string[] {
  const needed = ['VALET_ADMIN_OIDC_CLIENT_ID', 'VALET_ADMIN_OIDC_ALLOW'];
  if (given['VALET_ADMIN_OIDC_ISSUER'])
    return needed
      .filter((name) => !/[^\s,]/.test(given[name] ?? ''))
      .map((name) => `${name} must be set with VALET_ADMIN_OIDC_ISSUER`);
  return [...needed, 'VALET_ADMIN_OIDC_CLIENT_SECRET']
    .filter((name) => given[name])
    .map((name) => `${name} is set but VALET_ADMIN_OIDC_ISSUER is not`);
}

const adminOidcOf = (v: z.output<typeof variables>): Config['adminOidc'] =>
  v.VALET_ADMIN_OIDC_ISSUER === undefined || v.VALET_ADMIN_OIDC_CLIENT_ID === undefined
    ? undefined
    : {
        issuer: v.VALET_ADMIN_OIDC_ISSUER,
        clientId: v.VALET_ADMIN_OIDC_CLIENT_ID,
        clientSecret: v.VALET_ADMIN_OIDC_CLIENT_SECRET,
        allow: v.VALET_ADMIN_OIDC_ALLOW,
        account: v.VALET_ADMIN_OIDC_ACCOUNT,
      };

/** The general endpoint is a base, the one for traces is meant as it stands. */
function tracesOf(v: z.output<typeof variables>): Config['traces'] {
  const base = v.OTEL_EXPORTER_OTLP_ENDPOINT;
  const url = v.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? (base === undefined ? undefined : `${base}/v1/traces`);
  return url === undefined
    ? undefined
    : { url, headers: v.OTEL_EXPORTER_OTLP_HEADERS, serviceName: v.OTEL_SERVICE_NAME };
}

function assemble(v: z.output<typeof variables>, warnings: readonly string[]): Config {
  const publicUrl = v.VALET_PUBLIC_URL ?? `http://${isIP(v.HOST) === 6 ? `[${v.HOST}]` : v.HOST}:${v.PORT}`;
  const loopback = ['127.0.0.1', '::1', 'localhost'].includes(v.HOST) ? ['localhost', '127.0.0.1', '[::1]'] : [];
  const dir = v.DATABASE_URL.replace(/^pglite:/, '');
  const url = new Secret(v.DATABASE_URL);
  const database: DatabaseTarget = /^postgres/.test(v.DATABASE_URL)
    ? {
        kind: 'postgres',
        url,
        migrateUrl: v.VALET_MIGRATE_URL === undefined ? undefined : new Secret(v.VALET_MIGRATE_URL),
      }
    : { kind: 'pglite', url, dir: /^memory(\?|$)/.test(dir) ? undefined : dir };
  return {
    host: v.HOST,
    port: v.PORT,
    publicUrl,
    allowedHosts: [...new Set([new URL(publicUrl).hostname, ...loopback, ...v.VALET_ALLOWED_HOSTS])],
    trustProxy: v.VALET_TRUST_PROXY,
    database,
    masterKey: v.VALET_MASTER_KEY,
    masterKeyFile: v.VALET_MASTER_KEY_FILE,
    nextMasterKey: v.VALET_MASTER_KEY_NEXT,
    nextMasterKeyFile: v.VALET_MASTER_KEY_NEXT_FILE,
    apiKey: v.VALET_API_KEY,
    onUnknownUser: v.VALET_ON_UNKNOWN_USER,
    allowedUpstreamCidrs: v.VALET_ALLOWED_UPSTREAM_CIDRS,
    stdioCatalogFile: v.VALET_STDIO_CATALOG,
    stdioSandbox: v.VALET_STDIO_SANDBOX,
    auditCheckpointFile: v.VALET_AUDIT_CHECKPOINT_FILE,
    auditRetentionDays: v.VALET_AUDIT_RETENTION_DAYS,
    rateLimitStore: rateLimitStore(v.VALET_RATE_LIMIT_STORE, v.REDIS_URL, database.kind === 'postgres'),
    metricsToken: v.VALET_METRICS_TOKEN,
    shutdownDelayMs: v.VALET_SHUTDOWN_DELAY_MS,
    adminOidc: adminOidcOf(v),
    traces: tracesOf(v),
    logLevel: v.LOG_LEVEL,
    warnings,
    limits: {
      callsPerMinute: v.VALET_RATE_LIMIT,
      listsPerMinute: v.VALET_LIST_RATE_LIMIT,
      managementPerMinute: v.VALET_MANAGEMENT_RATE_LIMIT,
      concurrentCalls: v.VALET_CONCURRENT_CALLS,
      bodyBytes: v.VALET_BODY_LIMIT_MB * mib,
      managementBodyBytes: mib,
      resultBytes: v.VALET_RESULT_LIMIT_MB * mib,
      callTimeoutMs: v.VALET_CALL_TIMEOUT_MS,
    },
  };
}

/** What replicas must share is counted where they all are: Redis where there is one, else PostgreSQL. An embedded database has one process. */
function rateLimitStore(
  said: 'auto' | 'memory' | 'postgres' | 'redis',
  url: Secret | undefined,
  isPostgres: boolean,
): Config['rateLimitStore'] {
  if (said === 'redis' || (said === 'auto' && url !== undefined)) return { kind: 'redis', redisUrl: url };
  if (said !== 'auto') return { kind: said, redisUrl: undefined };
  return { kind: isPostgres ? 'postgres' : 'memory', redisUrl: undefined };
}
