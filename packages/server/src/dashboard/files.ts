// The built page, read once at start: every file by its path, with what its answer needs. Knows no HTTP and follows no path from a request.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface PageFile {
  body: Buffer;
  type: string;
  etag: string;
  /** Its name holds the hash of its content: it never changes. */
  isImmutable: boolean;
}

export interface BuiltPage {
  index: PageFile;
  /** By path below `/admin/`. */
  files: ReadonlyMap<string, PageFile>;
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};

/** Beside the built gateway, or where its build would put it when this runs from sources. */
function folder(): string | undefined {
  return ['./dashboard/', '../../dist/dashboard/']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(`${path}index.html`));
}

function readPageFile(path: string, isImmutable: boolean): PageFile | undefined {
  const type = types[extname(path)];
  if (type === undefined) return undefined;
  const body = readFileSync(path);
  const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
  return { body, type, etag, isImmutable };
}

/** Undefined when the page is not built. */
export function readBuiltPage(root: string | undefined = folder()): BuiltPage | undefined {
  if (root === undefined) return undefined;
  const index = readPageFile(`${root}index.html`, false);
  if (index === undefined) return undefined;
  const files = new Map<string, PageFile>();
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const path = name.replaceAll('\\', '/');
    const file = path === 'index.html' ? undefined : readPageFile(root + path, path.startsWith('assets/'));
    if (file !== undefined) files.set(path, file);
  }
  return { index, files };
}
