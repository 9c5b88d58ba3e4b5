// What a backup is: lines of JSON. A header with what is needed to open it, a line per row, and a last line that counts and sums up all before it.
// Everything in it is as the database holds it: secrets and keys are sealed, and the master key is not in it.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { KeyProvider } from '../crypto/key-provider.ts';
import { openKeyring } from '../crypto/keyring.ts';
import type { MasterKeyRow } from '../crypto/wrapping.ts';
import type { MigrationMark } from '../db/copy.ts';

export const backupFormat = 'mcp-valet-backup/1';

/** A row as `row_to_json` has it: bytes are `\x…`. */
type JsonRow = Record<string, unknown>;

export interface BackupHeader {
  format: typeof backupFormat;
  gateway: string;
  createdAt: string;
  engine: 'postgres' | 'pglite';
  migrations: MigrationMark[];
  /** In the order in which they stand, parents before children. */
  tables: string[];
  /** The rows that prove a master key before anything else is read. */
  keys: { installation: JsonRow[]; master_keys: JsonRow[]; keyring: JsonRow[] };
}

export interface Batch {
  table: string;
  rows: string[];
}

/** Where rows come from: a file, or another database at this moment. */
export interface BackupSource {
  header: BackupHeader;
  batches(): AsyncIterable<Batch>;
}

/** The file is no backup, damaged, or of another kind. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

const rowsPerBatch = 500;
const prefix = (table: string): string => `{"table":${JSON.stringify(table)},"row":`;

export const rowLine = (table: string, row: string): string => `${prefix(table)}${row}}`;

/** Collects what the last line says. */
export function summing() {
  const hash = createHash('sha256');
  const rows: Record<string, number> = {};
  return {
    line(text: string, table?: string): string {
      hash.update(`${text}\n`);
      if (table !== undefined) rows[table] = (rows[table] ?? 0) + 1;
      return `${text}\n`;
    },
    end: () => ({ end: true as const, rows, sha256: hash.digest('hex') }),
  };
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const stream = createReadStream(file, 'utf8');
  const opened = new Promise<void>((resolve, reject) => {
    stream.once('open', () => resolve());
    stream.once('error', (error: NodeJS.ErrnoException) =>
      reject(new BackupError(`${file} cannot be read (${String(error.code)}).`)),
    );
  });
  await opened;
  yield* createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
}

const tableOf = (line: string): string => {
  const found = /^\{"table":"([a-z_]+)","row":/.exec(line)?.[1];
  if (found === undefined) throw new BackupError('The backup holds a line that is no row.');
  return found;
};

/** Reads the whole file once and believes none of it that its last line does not confirm. */
export async function openBackup(file: string): Promise<BackupSource> {
  let header: BackupHeader | undefined;
  let last: string | undefined;
  const sum = summing();
  for await (const line of linesOf(file)) {
    if (last !== undefined) sum.line(last, header === undefined ? undefined : tableOf(last));
    if (last !== undefined && header === undefined) header = headerFrom(last);
    last = line;
  }
  if (header === undefined || last === undefined) throw new BackupError(`${file} is no backup of MCP Valet.`);
  if (last !== JSON.stringify(sum.end()))
    throw new BackupError(`${file} is damaged or cut off: its content is not what its last line says.`);
  const known = header;
  return {
    header: known,
    async *batches() {
      let batch: Batch | undefined;
      let isFirst = true;
      for await (const line of linesOf(file)) {
        const isHeader = isFirst;
        isFirst = false;
        if (isHeader) continue;
        if (line.startsWith('{"end":')) break;
        const table = tableOf(line);
        if (batch !== undefined && (batch.table !== table || batch.rows.length >= rowsPerBatch)) {
          yield batch;
          batch = undefined;
        }
        batch ??= { table, rows: [] };
        batch.rows.push(line.slice(prefix(table).length, -1));
      }
      if (batch !== undefined) yield batch;
    },
  };
}

function headerFrom(line: string): BackupHeader {
  let header: Partial<BackupHeader>;
  try {
    header = JSON.parse(line) as Partial<BackupHeader>;
  } catch (error) {
    if (error instanceof SyntaxError) throw new BackupError('The file is no backup of MCP Valet.');
    throw error;
  }
  if (header.format !== backupFormat)
    throw new BackupError(`The file is no backup of MCP Valet in the format ${backupFormat}.`);
  return header as BackupHeader;
}

const bytes = (value: unknown): Buffer => Buffer.from(String(value).replace(/^\\x/, ''), 'hex');

/** Throws MasterKeyError unless this key opens what the backup holds. Touches no database. */
export async function proveMasterKey({ keys }: BackupHeader, provider: KeyProvider | undefined): Promise<void> {
  const masterKeys = keys.master_keys.map(
    (row): MasterKeyRow => ({
      version: Number(row['version']),
      keyId: String(row['key_id']),
      state: row['state'] as MasterKeyRow['state'],
      keyCheck: row['key_check'] === null ? null : bytes(row['key_check']),
    }),
  );
  const own = keys.keyring.map((row) => ({
    purpose: String(row['purpose']),
    version: Number(row['version']),
    kekVersion: Number(row['kek_version']),
    wrapped: bytes(row['wrapped']),
  }));
  const stored = { installationId: String(keys.installation[0]?.['id']), masterKeys, keys: own };
  await openKeyring({
    store: { load: async () => stored, hasRows: async () => true, create: async () => stored },
    newInstallationId: () => '',
    provider,
  });
}
