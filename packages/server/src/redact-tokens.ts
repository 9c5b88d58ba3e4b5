// What looks like a bearer token in a text, replaced: the last net below log lines, audit events and whatever else is kept of callers' words.
// Pure. Not the defence: those texts are built from names and ids in the first place.

/** Our bearer tokens, wherever they stand in a text. The kind stays readable. */
const ownToken = /mcpv_(adm|ent|std|url|usr)_[0-9A-Za-z]{10,}/g;
const authorization = /\b(Bearer|Basic|Token)\s+[A-Za-z0-9._~+/=-]{8,}/gi;
/** Three base64url parts with a JSON header: a JWT. */
const jwt = /\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*/g;

/** Replaces tokens by their kind. */
export function redactTokens(text: string): string {
  return text
    .replace(ownToken, 'mcpv_$1_[redacted]')
    .replace(authorization, '$1 [redacted]')
    .replace(jwt, '[redacted]');
}
