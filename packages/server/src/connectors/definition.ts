// What a connector may be: its address, fixed headers and templates are checked here before they are stored. Pure: no I/O.
// Refusals name the field and the rule, never a value: somebody may have put a secret where none belongs.
import type { ConnectorKind, Inject, OAuthSettings, Requirement } from '@mcp-valet/shared';
import { placeholder, secretName } from '@mcp-valet/shared';
import type { ImportedFacts, KindConfig, OAuthConfig } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { EgressError } from './egress-error.ts';

/** What can be said about a connector beside its id, merged and complete. */
export interface Definition {
  kind: ConnectorKind;
  name: string;
  description: string | null;
  category: string[];
  config: KindConfig;
  oauth: OAuthConfig | null;
  allowShared: boolean;
  requires: Requirement[] | null;
  inject: Inject | null;
  secretNames: string[];
  timeoutMs: number | null;
  enabled: boolean;
}

/** What a connector is of which nothing but its kind was said. */
export const blankDefinition = (id: string, kind: ConnectorKind): Definition => ({
  kind,
  name: id,
  description: null,
  category: [],
  config: {},
  oauth: null,
  allowShared: false,
  requires: null,
  inject: null,
  secretNames: [],
  timeoutMs: null,
  enabled: true,
});

/** The fields of a request, each present only when it was sent. */
export interface SentFields {
  name?: string | undefined;
  description?: string | null | undefined;
  category?: string[] | undefined;
  url?: string | undefined;
  headers?: Record<string, string> | undefined;
  transport?: 'streamable-http' | 'sse' | undefined;
  entry?: string | undefined;
  /** What the sent document turned out to be. */
  imported?: ImportedFacts | undefined;
  openapi?: unknown;
  baseUrl?: string | null | undefined;
  auth?: Record<string, Record<string, string>> | null | undefined;
  oauth?: OAuthSettings | null | undefined;
  allowShared?: boolean | undefined;
  requires?: Requirement[] | null | undefined;
  inject?: Inject | null | undefined;
  secretNames?: string[] | undefined;
  timeoutMs?: number | null | undefined;
  enabled?: boolean | undefined;
}

/** What only the running gateway knows: the egress guard's rules, and the operator's catalogue. */
export interface Surroundings {
  checkUrl(url: string): URL;
  /** The environment names that a catalogue entry declares; undefined: no such entry. */
  entryEnv(name: string): readonly string[] | undefined;
}

/** Framing, routing and negotiation belong to the connection and to the protocol, whoever asks. */
const ownedHeader =
  /^(accept|accept-encoding|connection|content-(encoding|length|type)|expect|forwarded|host|http2-settings|keep-alive|last-event-id|mcp-.*|origin|proxy-.*|referer|te|trailer|transfer-encoding|upgrade|via|x-forwarded-.*)$/i;
/** What carries a credential belongs into `inject`, where the value is a user's sealed secret and not a row in the clear. */
const credentialHeader = /^(authorization|cookie|set-cookie|x-api-key|api-key|x-auth-token|x-alloy-user-token)$/i;
const printable = /^[\x20-\x7e]*$/;
const identity: ReadonlySet<string> = new Set(['user.id', 'user.username']);

interface Issue {
  path: string;
  message: string;
}

const fieldsOfKind: Record<ConnectorKind, readonly (keyof SentFields)[]> = {
  'mcp-http': ['url', 'headers', 'transport', 'oauth'],
  'mcp-stdio': ['entry'],
  http: ['openapi', 'baseUrl', 'auth', 'oauth'],
};
const kindFields = [...new Set(Object.values(fieldsOfKind).flat())];

/** The definition after the sent fields, checked as a whole; throws INVALID_REQUEST naming every wrong field. */
export function mergeDefinition(before: Definition, sent: SentFields, around: Surroundings): Definition {
  const issues: Issue[] = [];
  const { kind } = before;
  for (const field of kindFields) {
    if (sent[field] !== undefined && !fieldsOfKind[kind].includes(field))
      issues.push({ path: field, message: `Does not belong to a connector of kind ${kind}` });
  }
  const after: Definition = {
    kind,
    name: sent.name ?? before.name,
    description: sent.description === undefined ? before.description : sent.description,
    category: [...new Set(sent.category ?? before.category)],
    config: mergeConfig(before, sent, around, issues),
    oauth: sent.oauth === undefined ? before.oauth : mergeOAuth(before.oauth, sent.oauth, around, issues),
    allowShared: sent.allowShared ?? before.allowShared,
    requires: sent.requires === undefined ? before.requires : sent.requires,
    inject: sent.inject === undefined ? before.inject : sent.inject,
    secretNames: [...new Set(sent.secretNames ?? before.secretNames)],
    timeoutMs: sent.timeoutMs === undefined ? before.timeoutMs : sent.timeoutMs,
    enabled: sent.enabled ?? before.enabled,
  };
  checkHeaders(after.config.headers ?? {}, issues);
  if (after.inject !== null) checkInject(after, after.inject, around, issues);
  for (const [at, { connector }] of (sent.requires ?? []).entries())
    if (connector !== undefined)
      issues.push({ path: `requires.${at}.connector`, message: 'Belongs to requirements of servers' });
  for (const name of after.secretNames)
    if (name.startsWith('oauth.'))
      issues.push({ path: 'secretNames', message: 'Names beginning with oauth. are the gateway’s own' });
  if (issues.length > 0) {
    const first = issues[0] as Issue;
    throw new Refusal('INVALID_REQUEST', `Invalid request: ${first.path}: ${first.message}`, { details: { issues } });
  }
  return after;
}

function mergeConfig(
  { kind, config }: Definition,
  sent: SentFields,
  around: Surroundings,
  issues: Issue[],
): KindConfig {
  const urlOf = (path: 'url' | 'baseUrl', value: string) => checkedUrl(path, value, around.checkUrl, issues);
  switch (kind) {
    case 'mcp-http': {
      const headers = sent.headers ?? config.headers;
      const transport = sent.transport ?? config.transport;
      return {
        url: sent.url === undefined ? (config.url ?? '') : urlOf('url', sent.url),
        ...(headers && Object.keys(headers).length > 0 && { headers }),
        ...(transport && { transport }),
      };
    }
    case 'mcp-stdio': {
      const entry = sent.entry ?? config.entry ?? '';
      if (around.entryEnv(entry) === undefined)
        issues.push({ path: 'entry', message: 'Is not in the operator’s catalogue (VALET_STDIO_CATALOG)' });
      return { entry };
    }
    case 'http': {
      const baseUrl = sent.baseUrl === undefined ? config.baseUrl : (sent.baseUrl ?? undefined);
      const auth = sent.auth === undefined ? config.auth : (sent.auth ?? undefined);
      const openapi = sent.imported ?? config.openapi;
      return {
        ...(baseUrl !== undefined && { baseUrl: sent.baseUrl ? urlOf('baseUrl', baseUrl) : baseUrl }),
        ...(auth !== undefined && { auth }),
        ...(openapi !== undefined && { openapi }),
      };
    }
  }
}

/** The client's secret is kept elsewhere; one that was stored stays while the client is the same. */
function mergeOAuth(
  before: OAuthConfig | null,
  sent: OAuthSettings | null,
  around: Surroundings,
  issues: Issue[],
): OAuthConfig | null {
  if (sent === null) return null;
  const { clientSecret, ...settings } = sent;
  for (const field of ['issuer', 'authorizationUrl', 'tokenUrl', 'revocationUrl'] as const) {
    // Checked and kept as sent: an issuer is compared character by character.
    if (settings[field] !== undefined) checkedUrl(`oauth.${field}`, settings[field], around.checkUrl, issues);
  }
  if ((settings.authorizationUrl === undefined) !== (settings.tokenUrl === undefined))
    issues.push({ path: 'oauth', message: 'authorizationUrl and tokenUrl belong together' });
  if (clientSecret !== undefined && settings.clientId === undefined)
    issues.push({ path: 'oauth.clientSecret', message: 'Needs a clientId' });
  const isSameClient = before !== null && before.clientId === settings.clientId;
  return { ...settings, hasClientSecret: clientSecret !== undefined || (isSameClient && before.hasClientSecret) };
}

function checkedUrl(path: string, text: string, checkUrl: (url: string) => URL, issues: Issue[]): string {
  try {
    return checkUrl(text).href;
  } catch (error) {
    // The guard's sentences are written for people and quote nothing.
    if (!(error instanceof EgressError)) throw error;
    issues.push({ path, message: error.message });
    return text;
  }
}

function checkHeaders(headers: Readonly<Record<string, string>>, issues: Issue[]): void {
  checkNames('headers', Object.keys(headers), issues);
  for (const [name, value] of Object.entries(headers)) {
    if (credentialHeader.test(name))
      issues.push({ path: `headers.${name}`, message: 'Carries a credential: use inject.headers with a secret' });
    if (!printable.test(value)) issues.push({ path: `headers.${name}`, message: 'Must be printable ASCII' });
    if (value.includes('{{'))
      issues.push({ path: `headers.${name}`, message: 'Is fixed and not a template: use inject.headers' });
  }
}

function checkNames(slot: string, names: readonly string[], issues: Issue[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (ownedHeader.test(name)) issues.push({ path: `${slot}.${name}`, message: 'Is set by the gateway' });
    if (seen.has(name.toLowerCase()))
      issues.push({ path: `${slot}.${name}`, message: 'Is there twice; case does not count in header names' });
    seen.add(name.toLowerCase());
  }
}

function checkInject({ kind, config }: Definition, inject: Inject, around: Surroundings, issues: Issue[]): void {
  checkNames('inject.headers', Object.keys(inject.headers ?? {}), issues);
  const { headers, query, args, env } = inject;
  for (const slot of kind === 'mcp-stdio' ? (['headers', 'query'] as const) : (['env'] as const)) {
    if (inject[slot] !== undefined)
      issues.push({ path: `inject.${slot}`, message: `Does not belong to a connector of kind ${kind}` });
  }
  const declared = around.entryEnv(config.entry ?? '') ?? [];
  for (const [slot, templates] of Object.entries({ headers, query, args, env })) {
    if (templates === 'all') continue;
    for (const [name, template] of Object.entries(templates ?? {})) {
      const path = `inject.${slot}.${name}`;
      if (name === '__proto__' || name === 'constructor' || name === 'prototype')
        issues.push({ path, message: 'Is a reserved name' });
      if (slot === 'env' && kind === 'mcp-stdio' && !declared.includes(name))
        issues.push({ path, message: 'Is not declared by the catalogue entry' });
      if (slot === 'headers' && !printable.test(template)) issues.push({ path, message: 'Must be printable ASCII' });
      const wrong = templateProblem(template);
      if (wrong !== undefined) issues.push({ path, message: wrong });
    }
  }
}

/** Why a template is refused, or undefined. What looks like a placeholder must be one: a typing error would be sent upstream as text. */
export function templateProblem(template: string): string | undefined {
  for (const [, name = ''] of template.matchAll(placeholder)) {
    if (identity.has(name) || /^claims\../.test(name)) continue;
    if (/^(user|claims|env|process)\./.test(name))
      return 'Knows {{SECRET_NAME}}, {{user.username}}, {{user.id}} and {{claims.NAME}} only';
    if (!secretName.safeParse(name).success) return 'Names something that cannot be a secret';
  }
  const rest = template.replace(placeholder, '');
  return rest.includes('{{') || rest.includes('}}')
    ? 'Has a placeholder that is not {{SECRET_NAME}}, {{user.username}}, {{user.id}} or {{claims.NAME}}'
    : undefined;
}
