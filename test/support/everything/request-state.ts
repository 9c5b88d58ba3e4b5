// The signed requestState of the everything-upstream. A per-process key: one process serves every round of a flow.
// Must not carry secrets: it is signed, not encrypted.
import { randomBytes } from 'node:crypto';
import { createRequestStateCodec } from '@modelcontextprotocol/server';

export interface RequestState {
  readonly tool: string;
  readonly step: number;
  readonly name?: string;
}

export type RequestStateMint = (state: RequestState) => Promise<string>;

const codec = createRequestStateCodec<RequestState>({ key: randomBytes(32) });

export const mintRequestState: RequestStateMint = (state) => codec.mint(state);
export const verifyRequestState = codec.verify;
