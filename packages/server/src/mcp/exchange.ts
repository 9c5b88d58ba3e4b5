// What the endpoint hands to the SDK lane: one HTTP exchange that has passed the gate. Types only.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Inbound } from './gate.ts';
import type { CallRequest } from './request.ts';

export interface Exchange {
  request: CallRequest;
  inbound: Inbound | { kind: 'session'; method: 'GET' | 'DELETE' };
  /** `Mcp-Session-Id` as sent. */
  sessionId: string | undefined;
  raw: IncomingMessage;
  response: ServerResponse;
  /** Headers that every answer of the endpoint carries. */
  headers: Record<string, string>;
}

export interface SdkLane {
  /** Answers the exchange on `response`, whatever happens. */
  serve(exchange: Exchange): Promise<void>;
  /** What is open now; an exchange has no session. */
  open(): { sessions: number; streams: number; exchanges: number };
  /** Ends every session and stream. */
  close(): Promise<void>;
}
