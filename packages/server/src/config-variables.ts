// The variables of the environment, one by one: their form, their default, and the sentence for a wrong value. What two of them mean together is
// `config`'s to say. Reads no environment.
import { isIP } from 'node:net';
import { z } from 'zod';
import { Secret } from './secret.ts';

/** Keys that stand in guides, examples and other products' defaults. Whoever deploys one has no secret. */
const sampleSecret =
  /your[-_ ]?(api|master|secret)|change[-_ ]?me|example|sample|placeholder|default|password|secret[-_]?key|^(test|demo|dev)[-_]|<[^>]*>|0123456789|abcdefgh/i;

const text = z.string().trim().min(1, 'must not be empty');
const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .trim()
    .regex(/^\d{1,9}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((n) => n >= min && n <= max, `must be a whole number from ${min} to ${max}`);
const list = (accepts: (item: string) => boolean, message: (item: string) => string) =>
  text.transform((value, ctx) => {
    const items = value
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
    for (const item of items) if (!accepts(item)) ctx.addIssue({ code: 'custom', message: message(item) });
    return items;
  });
const secret = z.string().transform((value) => new Secret(value));

function isCidr(item: string): boolean {
  const [address = '', bits, ...rest] = item.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

function isHostName(item: string): boolean {
  return /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/i.test(item) || /^\[[0-9a-f:.]+\](:\d{1,5})?$/i.test(item);
}

const publicUrl = text.transform((value, ctx) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    ctx.addIssue({
      code: 'custom',
      message: 'must be an http or https URL without user, query and fragment, for example https://mcp.example.com',
    });
    return '';
  }
  return url.href.replace(/\/+$/, '');
});

/** Compared as it stands: a trailing slash belongs to the name of an issuer. */
const issuerUrl = text.refine((value) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && !url.username && !url.search && !url.hash;
}, 'must be the issuer’s https URL, for example https://login.example.com');

const databaseUrl = text.refine(
  (value) => (/^postgres(ql)?:\/\//.test(value) ? URL.canParse(value) : /^pglite:(memory(\?.*)?|[^?]+)$/.test(value)),
  'must be postgres://user:password@host:port/database, pglite:<directory> or pglite:memory',
);
const postgresUrl = text.refine(
  (value) => /^postgres(ql)?:\/\//.test(value) && URL.canParse(value),
  'must be a postgres:// URL',
);

const redisUrl = text.refine(
  (value) => /^rediss?:\/\//.test(value) && URL.canParse(value),
  'must be redis://[user:password@]host[:port][/database], or rediss:// with TLS',
);

const apiKey = z
  .string()
  .refine((value) => value.length >= 32, 'must have at least 32 characters; make one with "openssl rand -hex 32"')
  .refine((value) => /^[\x21-\x7e]+$/.test(value), 'must be visible ASCII without spaces')
  .refine(
    (value) => !sampleSecret.test(value) && new Set(value).size >= 8,
    'is a sample or guessable value; make one with "openssl rand -hex 32"',
  );

// The bytes are checked where the key is parsed; here only what tells a typing error from a key.
const masterKey = z
  .string()
  .trim()
  .refine(
    (value) => /^[A-Za-z0-9+/_-]{43}=?$/.test(value) || /^[0-9a-fA-F]{64}$/.test(value),
    'must be 32 bytes in base64; make one with "openssl rand -base64 32"',
  )
  .refine(
    (value) => new Set(value).size >= 8 && !sampleSecret.test(value),
    'is a sample or guessable value; make one with "openssl rand -base64 32"',
  );

/** Every variable of this version, with what it may be. */
export const variables = z.object({
  HOST: text.default('127.0.0.1'),
  PORT: wholeNumber(0, 65_535).default(8787),
  DATABASE_URL: databaseUrl.default('pglite:.valet/data'),
  VALET_MIGRATE_URL: postgresUrl.optional(),
  VALET_PUBLIC_URL: publicUrl.optional(),
  VALET_ALLOWED_HOSTS: list(isHostName, (item) => `"${item}" is not a host name`).default([]),
  VALET_TRUST_PROXY: list(isCidr, (item) => `"${item}" is not an address or CIDR block`).default([]),
  VALET_MASTER_KEY: masterKey.pipe(secret).optional(),
  VALET_MASTER_KEY_FILE: text.optional(),
  VALET_MASTER_KEY_NEXT: masterKey.pipe(secret).optional(),
  VALET_MASTER_KEY_NEXT_FILE: text.optional(),
  VALET_API_KEY: apiKey.pipe(secret).optional(),
  VALET_RATE_LIMIT: wholeNumber(1, 1_000_000).default(100),
  VALET_LIST_RATE_LIMIT: wholeNumber(1, 1_000_000).default(1_000),
  VALET_MANAGEMENT_RATE_LIMIT: wholeNumber(1, 1_000_000).default(600),
  VALET_RATE_LIMIT_STORE: z
    .enum(['auto', 'memory', 'postgres', 'redis'], 'must be auto, memory, postgres or redis')
    .default('auto'),
  REDIS_URL: redisUrl.pipe(secret).optional(),
  VALET_CONCURRENT_CALLS: wholeNumber(1, 10_000).default(10),
  VALET_BODY_LIMIT_MB: wholeNumber(1, 100).default(10),
  VALET_RESULT_LIMIT_MB: wholeNumber(1, 100).default(10),
  VALET_CALL_TIMEOUT_MS: wholeNumber(1_000, 300_000).default(30_000),
  VALET_SHUTDOWN_DELAY_MS: wholeNumber(0, 60_000).default(0),
  VALET_ON_UNKNOWN_USER: z.enum(['reject', 'fallback'], 'must be reject or fallback').default('reject'),
  VALET_ALLOWED_UPSTREAM_CIDRS: list(
    isCidr,
    (item) => `"${item}" is not an address or CIDR block such as 10.0.0.0/8`,
  ).default([]),
  VALET_STDIO_CATALOG: text.optional(),
  VALET_STDIO_SANDBOX: z.enum(['auto', 'off', 'require'], 'must be auto, off or require').default('auto'),
  VALET_AUDIT_CHECKPOINT_FILE: text.optional(),
  VALET_AUDIT_RETENTION_DAYS: wholeNumber(1, 36_500).optional(),
  VALET_METRICS_TOKEN: apiKey.pipe(secret).optional(),
  VALET_ADMIN_OIDC_ISSUER: issuerUrl.optional(),
  VALET_ADMIN_OIDC_CLIENT_ID: text.optional(),
  VALET_ADMIN_OIDC_CLIENT_SECRET: secret.optional(),
  VALET_ADMIN_OIDC_ALLOW: list(
    (item) => /^(email:[^@\s]+@[^@\s]+|sub:.+|group:.+)$/.test(item),
    (item) => `"${item}" is not email:<address>, sub:<subject> or group:<name>`,
  ).default([]),
  VALET_ADMIN_OIDC_ACCOUNT: text.default('default'),
  OTEL_EXPORTER_OTLP_ENDPOINT: publicUrl.optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: publicUrl.optional(),
  OTEL_EXPORTER_OTLP_HEADERS: secret.optional(),
  OTEL_SERVICE_NAME: text.default('mcp-valet'),
  LOG_LEVEL: z
    .enum(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'must be fatal, error, warn, info, debug, trace or silent',
    )
    .default('info'),
});
