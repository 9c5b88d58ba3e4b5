// Writes request bodies: JSON, forms, multipart, text and bytes. Files come as text, or as `{ base64, filename?, contentType? }`.
import { randomBytes } from 'node:crypto';
import { type BodyMedia, type CompiledDocument, isObject, type Schema } from './document.ts';
import { pairsOf, scalarText } from './serialize.ts';
import { follow, isFile } from './shape.ts';

export interface WrittenBody {
  contentType: string;
  body: string | Uint8Array;
}

export function writeBody(compiled: CompiledDocument, media: BodyMedia, value: unknown): WrittenBody {
  const contentType = media.mediaType;
  switch (media.kind) {
    case 'json':
      return { contentType, body: JSON.stringify(value) };
    case 'form':
      return { contentType, body: formText(compiled, media, value) };
    case 'multipart':
      return multipart(compiled, media, value);
    case 'text':
      return { contentType, body: scalarText(value) };
    default: {
      const file = fileOf(value);
      return { contentType: file.contentType ?? contentType, body: file.bytes };
    }
  }
}

/** `seen`: schemas on the way here; one that is made of itself says nothing more the second time. */
const propertySchema = (
  compiled: CompiledDocument,
  schema: Schema,
  name: string,
  seen: ReadonlySet<Schema> = new Set(),
): Schema => {
  const own = follow(compiled, schema);
  if (seen.has(own)) return {};
  const { properties, allOf: all } = own;
  if (isObject(properties) && Object.hasOwn(properties, name)) return follow(compiled, properties[name] as Schema);
  const passed = new Set(seen).add(own);
  for (const part of Array.isArray(all) ? (all as Schema[]) : []) {
    const found = propertySchema(compiled, part, name, passed);
    if (Object.keys(found).length > 0) return found;
  }
  return {};
};

const takesText = (schema: Schema): boolean => [schema['type']].flat().includes('string');

const fieldsOf = (value: unknown): [string, unknown][] =>
  isObject(value) ? Object.entries(value).filter(([, entry]) => entry !== undefined && entry !== null) : [];

function formText(compiled: CompiledDocument, media: BodyMedia, value: unknown): string {
  return fieldsOf(value)
    .flatMap(([name, entry]) => {
      const schema = propertySchema(compiled, media.schema, name);
      const encoding = Object.hasOwn(media.encoding, name) ? media.encoding[name] : undefined;
      const { style, explode } = encoding ?? {};
      const isStyled = style !== undefined || explode !== undefined;
      // A field that is a text to the upstream carries an array or object as JSON; so does an object without a style.
      const isJson =
        typeof entry === 'object' && (takesText(schema) || (!isStyled && (isObject(entry) || encoding?.contentType)));
      const rules = { style: style ?? 'form', explode: explode ?? true, isJson: Boolean(isJson) } as const;
      return pairsOf(name, entry, rules, true);
    })
    .map((pair) => pair.join('='))
    .join('&');
}

interface FilePart {
  bytes: Uint8Array;
  filename?: string;
  contentType?: string;
}

const mediaType = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(; ?[\w-]+=[\w.-]+)*$/;

function fileOf(value: unknown): FilePart {
  if (!isObject(value) || typeof value['base64'] !== 'string') return { bytes: Buffer.from(scalarText(value), 'utf8') };
  const { filename, contentType } = value;
  return {
    bytes: Buffer.from(value['base64'], 'base64'),
    ...(typeof filename === 'string' && { filename }),
    ...(typeof contentType === 'string' && mediaType.test(contentType) && { contentType }),
  };
}

/** What is wrong with a file argument. */
export function fileFault(value: unknown): string | undefined {
  if (typeof value === 'string') return undefined;
  if (!isObject(value) || typeof value['base64'] !== 'string')
    return 'must be a text or { base64, filename, contentType }';
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(value['base64'].replaceAll(/\s/g, ''))) return 'has base64 that cannot be read';
  const { contentType } = value;
  if (contentType !== undefined && !(typeof contentType === 'string' && mediaType.test(contentType))) {
    return 'has a contentType that is not a media type';
  }
  return undefined;
}

/** As browsers write names into a part's header: nothing can end the quoted text or the line. */
const quoted = (text: string): string =>
  `"${text.toWellFormed().replaceAll('\r', '%0D').replaceAll('\n', '%0A').replaceAll('"', '%22')}"`;

function multipart(compiled: CompiledDocument, media: BodyMedia, value: unknown): WrittenBody {
  const boundary = `valet-${randomBytes(18).toString('hex')}`;
  const chunks: Buffer[] = [];
  const add = (name: string, entry: unknown, schema: Schema): void => {
    const file = isFile(schema) || (isObject(entry) && typeof entry['base64'] === 'string') ? fileOf(entry) : undefined;
    const named = Object.hasOwn(media.encoding, name) ? media.encoding[name]?.contentType : undefined;
    const fixed = named === undefined || named.includes(',') || named.includes('*') ? undefined : named;
    const isJson = typeof entry === 'object' && file === undefined;
    const type =
      file?.contentType ?? fixed ?? (file ? 'application/octet-stream' : isJson ? 'application/json' : undefined);
    const filename = file === undefined ? '' : `; filename=${quoted(file.filename ?? name)}`;
    const head = `--${boundary}\r\nContent-Disposition: form-data; name=${quoted(name)}${filename}\r\n`;
    chunks.push(Buffer.from(`${head}${type === undefined ? '' : `Content-Type: ${type}\r\n`}\r\n`));
    chunks.push(Buffer.from(file?.bytes ?? Buffer.from(scalarText(entry))), Buffer.from('\r\n'));
  };
  for (const [name, entry] of fieldsOf(value)) {
    const schema = propertySchema(compiled, media.schema, name);
    const items = isObject(schema['items']) ? follow(compiled, schema['items']) : {};
    if (Array.isArray(entry) && !takesText(schema)) for (const part of entry) add(name, part, items);
    else add(name, entry, schema);
  }
  chunks.push(Buffer.from(`--${boundary}--\r\n`));
  const type = media.mediaType.split(';')[0] ?? media.mediaType;
  return { contentType: `${type}; boundary=${boundary}`, body: Buffer.concat(chunks) };
}
