// Writes an operator's catalogue of local servers to a file of its own, for gateways in tests. Removed by its maker.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface CatalogueFile {
  file: string;
  remove(): void;
}

export function writeCatalogue(entries: Readonly<Record<string, unknown>>): CatalogueFile {
  const folder = mkdtempSync(join(tmpdir(), 'catalogue-'));
  const file = join(folder, 'stdio.json');
  writeFileSync(file, JSON.stringify(entries), { mode: 0o600 });
  return { file, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
