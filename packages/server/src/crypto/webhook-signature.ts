// Signatures of webhooks as Standard Webhooks specifies them (v1, HMAC-SHA256). Pure but for the random key.
import { createHmac, randomBytes } from 'node:crypto';

const prefix = 'whsec_';

/** A new signing key in the form in which its owner sees it, once. */
export const newWebhookSecret = (): string => prefix + randomBytes(32).toString('base64');

/** Headers of one attempt. The id stays the same over all attempts, the timestamp is the attempt's own. */
export function signedHeaders(secret: string, id: string, at: Date, body: string): Record<string, string> {
  if (!secret.startsWith(prefix)) throw new Error('not a webhook signing key');
  const timestamp = String(Math.floor(at.getTime() / 1000));
  const key = Buffer.from(secret.slice(prefix.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}
