// What a connector may be: its address, fixed headers and templates are checked here before they are stored. Pure: no I/O.
// Refusals name the field and the rule, never a value: somebody may have put a secret where none belongs.
import type { Inject } from '@mcp-valet/shared';
import { placeholder, secretName } from '@mcp-valet/shared';
import { Refusal } from '../refusal.ts';
import { EgressError } from './egress-error.ts';

/** What can be said about a connector beside its id and kind, merged and complete. */
export interface Definition {
  name: string;
  description: string | null;
  category: string[];
  config: { url: string; headers?: Record<string, string>; transport?: 'streamable-http' | 'sse' };
  inject: Inject | null;
  secretNames: string[];
  timeoutMs: number | null;
  enabled: boolean;
}

/** The fields of a request, each present only when it was sent. */
export interface SentFields {
  name?: string | undefined;
  description?: string | null | undefined;
  category?: string[] | undefined;
  url?: string | undefined;
  headers?: Record<string, string> | undefined;
  transport?: 'streamable-http' | 'sse' | undefined;
  inject?: Inject | null | undefined;
  secretNames?: string[] | undefined;
  timeoutMs?: number | null | undefined;
  enabled?: boolean | undefined;
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

/** The definition after the sent fields, checked as a whole; throws INVALID_REQUEST naming every wrong field. */
export function mergeDefinition(before: Definition, sent: SentFields, checkUrl: (url: string) => URL): Definition {
  const issues: Issue[] = [];
  const url = sent.url === undefined ? before.config.url : checkedUrl(sent.url, checkUrl, issues);
  const headers = sent.headers ?? before.config.headers;
  const transport = sent.transport ?? before.config.transport;
  const after: Definition = {
    name: sent.name ?? before.name,
    description: sent.description === undefined ? before.description : sent.description,
    category: [...new Set(sent.category ?? before.category)],
    config: { url, ...(headers && Object.keys(headers).length > 0 && { headers }), ...(transport && { transport }) },
    inject: sent.inject === undefined ? before.inject : sent.inject,
    secretNames: [...new Set(sent.secretNames ?? before.secretNames)],
    timeoutMs: sent.timeoutMs === undefined ? before.timeoutMs : sent.timeoutMs,
    enabled: sent.enabled ?? before.enabled,
  };
  checkHeaders(after.config.headers ?? {}, issues);
  if (after.inject !== null) checkInject(after.inject, issues);
  if (issues.length > 0) {
    const first = issues[0] as Issue;
    throw new Refusal('INVALID_REQUEST', `Invalid request: ${first.path}: ${first.message}`, { details: { issues } });
  }
  return after;
}

function checkedUrl(text: string, checkUrl: (url: string) => URL, issues: Issue[]): string {
  try {
    return checkUrl(text).href;
  } catch (error) {
    // The guard's sentences are written for people and quote nothing.
    if (!(error instanceof EgressError)) throw error;
    issues.push({ path: 'url', message: error.message });
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

function checkInject(inject: Inject, issues: Issue[]): void {
  checkNames('inject.headers', Object.keys(inject.headers ?? {}), issues);
  const slots = { headers: inject.headers, query: inject.query, args: inject.args === 'all' ? undefined : inject.args };
  for (const [slot, templates] of Object.entries(slots)) {
    for (const [name, template] of Object.entries(templates ?? {})) {
      const path = `inject.${slot}.${name}`;
      if (name === '__proto__' || name === 'constructor' || name === 'prototype')
        issues.push({ path, message: 'Is a reserved name' });
      if (slot === 'headers' && !printable.test(template)) issues.push({ path, message: 'Must be printable ASCII' });
      const wrong = templateProblem(template);
      if (wrong !== undefined) issues.push({ path, message: wrong });
    }
  }
}

/** Why a template is refused, or undefined. What looks like a placeholder must be one: a typing error would be sent upstream as text. */
export function templateProblem(template: string): string | undefined {
  for (const [, name = ''] of template.matchAll(placeholder)) {
    if (identity.has(name)) continue;
    if (/^(user|claims|env|process)\./.test(name))
      return 'Knows {{SECRET_NAME}}, {{user.username}} and {{user.id}} only';
    if (!secretName.safeParse(name).success) return 'Names something that cannot be a secret';
  }
  const rest = template.replace(placeholder, '');
  return rest.includes('{{') || rest.includes('}}')
    ? 'Has a placeholder that is not {{SECRET_NAME}}, {{user.username}} or {{user.id}}'
    : undefined;
}
