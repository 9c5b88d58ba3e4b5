// One request as a fixture upstream received it, kept byte for byte so that tests can search it for canary tokens.
// Must not interpret or redact anything.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

export interface RecordedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in the order and case they had on the wire. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly receivedAt: number;
}

export function recordedRequest(request: IncomingMessage, body: Buffer): RecordedRequest {
  return {
    method: request.method ?? '',
    url: request.url ?? '',
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    body,
    receivedAt: Date.now(),
  };
}

/** Everything that arrived as one text: request lines, headers and bodies. For "is this token anywhere?" assertions. */
export function wireText(requests: Iterable<RecordedRequest>): string {
  const parts: string[] = [];
  for (const request of requests) {
    parts.push(`${request.method} ${request.url}`);
    for (let index = 0; index < request.rawHeaders.length; index += 2) {
      parts.push(`${request.rawHeaders[index]}: ${request.rawHeaders[index + 1]}`);
    }
    parts.push(request.body.toString('latin1'));
  }
  return parts.join('\n');
}
