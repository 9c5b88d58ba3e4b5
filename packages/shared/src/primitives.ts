// Ids, names, limits and small schemas that every noun of the contract is built from. zod/mini only: its size is the client's size.

import * as z from 'zod/mini';

/** Characters of usernames: letters, digits and `._:@+|-`, starting with a letter or digit, at most 128. */
export const usernamePattern = /^[A-Za-z0-9][A-Za-z0-9._:@+|-]{0,127}$/;

/** True for well-formed UTF-16 without NUL: a lone surrogate would be stored as another string, a NUL not at all. */
export function isStorableText(text: string): boolean {
  if (text.includes('\u0000')) return false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const next = text.charCodeAt(i + 1);
    if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return false;
    i++;
  }
  return true;
}

/** Text of at most `maxLength` UTF-16 units that the database can hold unchanged. */
export const text = (maxLength: number, minLength = 0) =>
  z
    .string()
    .check(
      z.minLength(minLength),
      z.maxLength(maxLength),
      z.refine(isStorableText, { error: 'Must be well-formed text without NUL' }),
    );

/** A caller-chosen, immutable user name; `usr_` is reserved for generated ids. */
export const username = z.string().check(
  z.regex(usernamePattern, {
    error: 'Must be 1-128 characters of A-Z a-z 0-9 . _ : @ + | - and start with a letter or digit',
  }),
  z.refine((v) => !v.startsWith('usr_'), { error: 'Must not start with usr_' }),
);

/** Wherever a user is named: its username or its `usr_` id. */
export const userRef = z.string().check(z.regex(usernamePattern, { error: 'Must be a username or a usr_ id' }));

/** A connector's id, chosen at creation, case-sensitive: `slack`, `zohoCRM`, `mcp-github`. */
export const connectorId = z.string().check(
  z.regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, {
    error: 'Must be 1-64 characters of A-Z a-z 0-9 _ - and start with a letter',
  }),
);

/** The upstream's own name of a tool or operation. */
export const actionId = text(256, 1);

/** Any opaque id that a caller may send; one that does not exist is simply not found. */
export const opaqueId = text(256, 1);

/** A chosen credential id. */
export const credentialId = z
  .string()
  .check(z.regex(/^[A-Za-z0-9_-]{1,64}$/, { error: 'Must be 1-64 characters of A-Z a-z 0-9 _ -' }));

/** The name of a secret, which is also what a template names: `{{GITHUB_TOKEN}}`. */
export const secretName = z.string().check(
  z.regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/, {
    error: 'Must be 1-128 characters of A-Z a-z 0-9 _ . - and start with a letter or _',
  }),
  z.refine((v) => v !== '__proto__' && v !== 'constructor' && v !== 'prototype', { error: 'Is a reserved name' }),
);

/** A secret's value: 1 byte to 64 KiB of well-formed text without NUL. */
export const secretValue = z.string().check(
  z.minLength(1),
  z.refine((v) => new TextEncoder().encode(v).length <= 65536, { error: 'Must be at most 64 KiB' }),
  z.refine(isStorableText, { error: 'Must be well-formed text without NUL' }),
);

/** A server's display name: letters, digits, space, `-`, `_`; unique in its account. */
export const serverName = z.string().check(
  z.regex(/^[A-Za-z0-9_](?:[A-Za-z0-9 _-]{0,98}[A-Za-z0-9_])?$/, {
    error: 'Must be 1-100 letters, digits, spaces, - or _, without a space or hyphen at either end',
  }),
);

/** ISO 8601 UTC with milliseconds. */
export const timestamp = z.iso.datetime();

/** Free-form JSON object kept as it is. */
export const jsonObject = z.record(z.string(), z.unknown());

/** A scope: visible ASCII without space, quote or backslash (RFC 6749 3.3). */
export const scope = z
  .string()
  .check(
    z.regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, { error: 'Must be 1-128 visible ASCII characters without " or \\' }),
  );

/** A JSON value that is not a list or an object. */
export const jsonScalar = z.union([z.string().check(z.maxLength(1024)), z.number(), z.boolean()]);

/** Lists page by `cursor` (from `nextCursor`) or by `offset`; `limit` is 1-1000, default 100. */
export const pageQuery = {
  limit: z.optional(z.coerce.number<number>().check(z.int(), z.minimum(1), z.maximum(1000))),
  offset: z.optional(z.coerce.number<number>().check(z.int(), z.minimum(0), z.maximum(1_000_000_000))),
  cursor: z.optional(text(512, 1)),
};

/** What every list of `/api/*` says beside its items. `total` counts the whole list. */
export const pageReply = {
  total: z.int(),
  limit: z.int(),
  offset: z.int(),
  hasMore: z.boolean(),
  nextCursor: z.nullable(z.string()),
};
