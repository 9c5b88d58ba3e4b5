// The fixed payloads and texts that the conformance scenarios ask of a server.
// Must not be changed without re-running the conformance suite: the scenarios compare them.

/** One red pixel. */
export const redPixelPng =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';

/** A WAV header without samples: 8 kHz, mono, 8 bit. */
export const silentWav = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';

/** Keywords that a list which re-writes schemas loses: $schema, $defs, $anchor, composition, conditions. */
export const jsonSchema202012 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object' as const,
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // biome-ignore lint/suspicious/noThenProperty: `then` is the JSON Schema keyword under test
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

export function text(value: string): { type: 'text'; text: string } {
  return { type: 'text', text: value };
}

export function textResult(value: string): { content: { type: 'text'; text: string }[] } {
  return { content: [text(value)] };
}
