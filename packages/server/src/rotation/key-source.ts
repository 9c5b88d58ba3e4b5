// The master keys that the configuration names. Reads key files; makes none by itself.
import type { Config } from '../config.ts';
import { type MasterKeySource, masterKeySource } from '../crypto/master-key.ts';

export type KeyConfig = Pick<
  Config,
  'database' | 'masterKey' | 'masterKeyFile' | 'nextMasterKey' | 'nextMasterKeyFile'
>;

export function keySourceOf({
  database,
  masterKey,
  masterKeyFile,
  nextMasterKey,
  nextMasterKeyFile,
}: KeyConfig): MasterKeySource {
  return masterKeySource({
    key: masterKey?.reveal(),
    file: masterKeyFile,
    nextKey: nextMasterKey?.reveal(),
    nextFile: nextMasterKeyFile,
    dataDir: database.kind === 'pglite' ? database.dir : undefined,
    inMemory: database.kind === 'pglite' && database.dir === undefined,
  });
}
