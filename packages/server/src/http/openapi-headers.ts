// Headers and parameters that many routes share, as the OpenAPI document describes them. Data only.
import { headers } from '@mcp-valet/shared';

const text = { type: 'string' };

export const sharedHeaders = {
  RequestId: { description: 'Id of this request; sent back when the caller chose one', schema: text },
  ShouldRetry: {
    description: 'Whether the same request may succeed later',
    schema: { type: 'string', enum: ['true', 'false'] },
  },
  RetryAfter: { description: 'Seconds to wait before the next attempt', schema: { type: 'integer' } },
  RateLimit: { description: 'What is left of the limit: `"policy";r=remaining;t=seconds`', schema: text },
  RateLimitPolicy: { description: 'The limit: `"policy";q=quota;w=seconds`', schema: text },
  Idempotency: {
    description:
      'Keys are honoured: for `ttl` seconds, in the segment `epoch` of the journal, and with `durable` over a restart. On errors of signed-in callers too',
    schema: text,
  },
  LeftOut: { description: 'Of a stored reply: what the first one showed and this one does not', schema: text },
  Replayed: {
    description: '`true` when this is the stored reply of an earlier request with the same Idempotency-Key',
    schema: text,
  },
};

export const sharedParameters = {
  RequestId: {
    name: headers.requestId,
    in: 'header',
    required: false,
    description: 'Chosen id of this request',
    schema: { ...text, pattern: '^[A-Za-z0-9._-]{1,64}$' },
  },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description: 'The same key sent again within 24 hours answers with the first reply instead of acting twice',
    schema: { ...text, pattern: '^[\\x21-\\x7e]{1,255}$' },
  },
  IdempotencyEpoch: {
    name: headers.idempotencyEpoch,
    in: 'header',
    required: false,
    description:
      'On a repetition: the `epoch` known when the key was first sent. From another epoch and without a stored key it answers OUTCOME_UNKNOWN instead of acting',
    schema: { ...text, maxLength: 128 },
  },
  User: {
    name: headers.user,
    in: 'header',
    required: false,
    description: 'Username or `usr_` id of the user to act for',
    schema: { ...text, maxLength: 128 },
  },
};
