// Compiled OpenAPI documents of `http` connectors: stored compressed beside the connector, kept in memory while they are used. Imports a
// document that a request carries or names. A document holds no secret.
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { and, eq, sql } from 'drizzle-orm';
import type { Database } from '../db/client.ts';
import { connectorDocuments } from '../db/schema-connect.ts';
import { accountScope, type Db, withScope } from '../db/scope.ts';
import type { ConnectorRecord, ImportedFacts } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { type Egress, EgressError } from './egress.ts';
import { type CompiledDocument, DocumentRefused } from './openapi/document.ts';
import { importDocument } from './openapi/import.ts';

const pack = promisify(gzip);
const unpack = promisify(gunzip);

const maxDocumentBytes = 20 * 1024 * 1024;
const fetchTimeoutMs = 15_000;
/** Compiled documents of the largest vendors take some ten megabytes each. */
const maxKept = 32;

export interface ImportedDocument {
  facts: ImportedFacts;
  compiled: CompiledDocument;
  bytes: Buffer;
}

/**
 * Reads, checks and compiles what a request gave as `openapi`. An https URL is fetched once, through the guard. Throws INVALID_REQUEST with
 * the places that are wrong.
 */
export async function readSentDocument(sent: unknown, egress: Egress, accountId: string): Promise<ImportedDocument> {
  const input =
    typeof sent === 'string' && /^https?:\/\/\S+$/i.test(sent.trim())
      ? await fetchText(sent.trim(), egress, accountId)
      : sent;
  try {
    const { compiled, warnings } = importDocument(input);
    const facts = {
      title: compiled.title,
      version: compiled.version,
      operations: compiled.operations.length,
      warnings,
    };
    return { facts, compiled, bytes: await pack(JSON.stringify(compiled)) };
  } catch (error) {
    if (!(error instanceof DocumentRefused)) throw error;
    const issues = error.places.map(({ path, message }) => ({
      path: `openapi${path === '' ? '' : `#${path}`}`,
      message,
    }));
    const [first] = issues;
    throw new Refusal(
      'INVALID_REQUEST',
      `The OpenAPI document cannot be used: ${first?.path ?? 'openapi'}: ${first?.message ?? ''}`,
      {
        details: { issues },
      },
    );
  }
}

async function fetchText(url: string, egress: Egress, accountId: string): Promise<string> {
  const refuse = (message: string): Refusal =>
    new Refusal('INVALID_REQUEST', `Invalid request: openapi: ${message}`, {
      details: { issues: [{ path: 'openapi', message }] },
    });
  try {
    const answer = await egress.request(`${accountId}/openapi`, url, {
      method: 'GET',
      headers: { accept: 'application/json, application/yaml;q=0.9, text/*;q=0.5' },
      signal: AbortSignal.timeout(fetchTimeoutMs),
      maxBytes: maxDocumentBytes,
    });
    if (answer.status !== 200) throw refuse(`The address answered ${answer.status}`);
    return answer.body.toString('utf8');
  } catch (error) {
    if (!(error instanceof EgressError)) throw error;
    throw refuse(error.code === 'EGRESS_REFUSED' ? error.message : 'The address could not be read');
  }
}

/** Replaces the connector's document, in the transaction of its change. */
export async function saveDocument(
  tx: Db,
  accountId: string,
  connectorId: string,
  document: Uint8Array,
): Promise<void> {
  await tx
    .insert(connectorDocuments)
    .values({ accountId, connectorId, document })
    .onConflictDoUpdate({
      target: [connectorDocuments.accountId, connectorDocuments.connectorId],
      set: { document, updatedAt: sql`now()` },
    });
}

/** The document of a connector as it is now, read once per version of the connector. */
export function createDocumentSource(db: Database): (connector: ConnectorRecord) => Promise<CompiledDocument> {
  const kept = new Map<string, Promise<CompiledDocument>>();
  const read = async ({ accountId, id }: ConnectorRecord): Promise<CompiledDocument> => {
    const [row] = await withScope(db, accountScope(accountId), (tx) =>
      tx
        .select({ document: connectorDocuments.document })
        .from(connectorDocuments)
        .where(and(eq(connectorDocuments.accountId, accountId), eq(connectorDocuments.connectorId, id))),
    );
    if (row === undefined) throw new Refusal('NOT_FOUND', 'Connector not found', { reason: 'document_missing' });
    return JSON.parse((await unpack(row.document)).toString('utf8')) as CompiledDocument;
  };
  return (connector) => {
    const key = JSON.stringify([connector.accountId, connector.id, connector.version]);
    const known = kept.get(key);
    if (known !== undefined) {
      kept.delete(key);
      kept.set(key, known);
      return known;
    }
    const reading = read(connector);
    reading.catch(() => kept.delete(key));
    kept.set(key, reading);
    if (kept.size > maxKept) kept.delete(kept.keys().next().value as string);
    return reading;
  };
}
