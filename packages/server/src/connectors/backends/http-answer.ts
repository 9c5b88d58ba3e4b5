// Reads the answer of a REST call as an MCP tool result, and tells failures from answers. Everything that goes on is scrubbed; an upstream's
// words never enter a failure.
import { UpstreamFailure, type UpstreamResult } from '../backend.ts';
import type { EgressResponse } from '../egress.ts';
import { type Scrub, scrubValue } from '../scrub.ts';

const maxErrorText = 64 * 1024;
/** Deeper ones overflow the stack of whoever scrubs or writes them. */
const maxAnswerDepth = 1_000;
const maxRetryAfterMs = 3_600_000;

/** Key of the result's `_meta` with status and content type of the HTTP answer. */
const httpMetaKey = 'mcp-valet/http';

/** A redirect never comes here: the egress refuses it. */
export function answerOf(response: EgressResponse, operationId: string, scrub: Scrub): UpstreamResult {
  const { status } = response;
  const failure = failureOfStatus(response);
  if (failure !== undefined) throw failure;
  const contentType = headerOf(response, 'content-type');
  const meta = { _meta: { [httpMetaKey]: { status, ...(contentType !== '' && { contentType: scrub(contentType) }) } } };
  if (status >= 400) {
    const body = scrub(textIn(response.body.subarray(0, maxErrorText * 2), contentType)).slice(0, maxErrorText);
    const text = JSON.stringify({ status, body: jsonOf(body) ?? body });
    return { status, result: { content: [{ type: 'text', text }], isError: true, ...meta } };
  }
  return { status, result: { ...contentOf(response, contentType, operationId, scrub), ...meta } };
}

function contentOf(
  response: EgressResponse,
  contentType: string,
  operationId: string,
  scrub: Scrub,
): Record<string, unknown> {
  const { body, status } = response;
  const type = mediaTypeOf(contentType);
  if (body.length === 0) return { content: [{ type: 'text', text: JSON.stringify({ status }) }] };
  if (isText(type, body)) {
    const text = textIn(body, contentType);
    const isJson = type === '' || type.includes('json') || type.startsWith('text/');
    const value = isJson ? jsonOf(text) : undefined;
    if (typeof value !== 'object' || value === null || !isWithin(value)) {
      return { content: [{ type: 'text', text: scrub(text) }] };
    }
    const clean = scrubValue(value, scrub);
    const shown = { content: [{ type: 'text', text: JSON.stringify(clean) }] };
    return Array.isArray(clean) ? shown : { ...shown, structuredContent: clean };
  }
  // Latin-1 keeps every byte; a secret among them is found like in text.
  const data = Buffer.from(scrub(body.toString('latin1')), 'latin1').toString('base64');
  if (type.startsWith('image/')) return { content: [{ type: 'image', data, mimeType: type }] };
  if (type.startsWith('audio/')) return { content: [{ type: 'audio', data, mimeType: type }] };
  const uri = `valet-result:///${encodeURIComponent(operationId)}`;
  const mimeType = type === '' ? 'application/octet-stream' : type;
  return { content: [{ type: 'resource', resource: { uri, mimeType, blob: data } }] };
}

function failureOfStatus(response: EgressResponse): UpstreamFailure | undefined {
  const { status } = response;
  if (status === 401) return new UpstreamFailure('unauthorized', 'no', { status });
  if (status === 429) return new UpstreamFailure('rate_limited', 'no', { status, retryAfterMs: retryAfter(response) });
  if (status >= 500) return new UpstreamFailure('broken', 'unknown', { status, retryAfterMs: retryAfter(response) });
  return undefined;
}

function retryAfter(response: EgressResponse): number | undefined {
  const value = headerOf(response, 'retry-after').trim();
  if (value === '') return undefined;
  const ms = /^\d+(\.\d+)?$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), maxRetryAfterMs) : undefined;
}

function headerOf(response: EgressResponse, name: string): string {
  const value = response.headers[name];
  return typeof value === 'string' ? value : (value?.[0] ?? '');
}

const mediaTypeOf = (contentType: string): string => (contentType.split(';')[0] ?? '').trim().toLowerCase();

const textTypes = /^(text\/|application\/(.*\+)?(json|xml|yaml|javascript|graphql|x-www-form-urlencoded|x-ndjson|sql))/;

function isText(type: string, body: Buffer): boolean {
  if (type !== '') return textTypes.test(type) || /\+(json|xml|yaml)$/.test(type) || type === 'image/svg+xml';
  return !body.includes(0) && isUtf8(body);
}

function isUtf8(body: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(body);
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

function textIn(body: Buffer, contentType: string): string {
  const charset = /charset="?([\w.:-]+)/i.exec(contentType)?.[1] ?? 'utf-8';
  return decoderFor(charset).decode(body).toWellFormed();
}

function decoderFor(charset: string): InstanceType<typeof TextDecoder> {
  try {
    return new TextDecoder(charset);
  } catch (error) {
    // A charset that nobody knows.
    if (error instanceof RangeError) return new TextDecoder();
    throw error;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    // Text then: what the upstream calls its text is not our failure.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isWithin(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxAnswerDepth) return false;
    level = level.flatMap((entry) => (typeof entry === 'object' && entry !== null ? Object.values(entry) : []));
  }
  return true;
}
