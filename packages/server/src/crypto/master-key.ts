// Decides where this start's master key comes from: variable, file, or, for the embedded database only, a file that is generated once.
// Generating is left to the keyring, which asks for it only when the database is empty.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  createMasterKeyFile,
  type KeyProvider,
  type LocalKey,
  localKeyProvider,
  parseMasterKey,
  readMasterKeyFile,
} from './key-provider.ts';

export interface MasterKeySource {
  readonly provider: KeyProvider | undefined;
  readonly makeProvider: (() => Promise<KeyProvider>) | undefined;
  /** The file that `makeProvider` wrote in this start. The caller prints it: whoever loses it loses every secret. */
  generatedFile(): string | undefined;
}

export function masterKeySource(options: {
  /** The text of VALET_MASTER_KEY. */
  key?: string | undefined;
  /** VALET_MASTER_KEY_FILE. */
  file?: string | undefined;
  /** The key that is to take its place: the text of VALET_MASTER_KEY_NEXT, or VALET_MASTER_KEY_NEXT_FILE. */
  nextKey?: string | undefined;
  nextFile?: string | undefined;
  /** The directory of the embedded database: its key lies beside it, never inside, so that a copy of the data is not a copy of the key. */
  dataDir?: string | undefined;
  /** The embedded database in memory: a key that dies with the process is enough. */
  inMemory?: boolean | undefined;
}): MasterKeySource {
  const none = { makeProvider: undefined, generatedFile: () => undefined };
  const next = nextOf(options);
  if (options.key !== undefined)
    return {
      ...none,
      provider: localKeyProvider(parseMasterKey(options.key, 'VALET_MASTER_KEY'), 'VALET_MASTER_KEY', next),
    };
  if (options.file !== undefined)
    return { ...none, provider: localKeyProvider(readMasterKeyFile(options.file), options.file, next) };
  if (options.dataDir !== undefined) {
    const file = join(dirname(resolve(options.dataDir)), 'master.key');
    if (existsSync(file)) return { ...none, provider: localKeyProvider(readMasterKeyFile(file), file, next) };
    let generated: string | undefined;
    return {
      provider: undefined,
      makeProvider: async () => {
        const key = await createMasterKeyFile(file);
        generated = file;
        return localKeyProvider(key, file);
      },
      generatedFile: () => generated,
    };
  }
  if (options.inMemory)
    return {
      ...none,
      provider: undefined,
      makeProvider: async () => localKeyProvider(randomBytes(32), 'this process'),
    };
  return { ...none, provider: undefined };
}

function nextOf(options: { nextKey?: string | undefined; nextFile?: string | undefined }): LocalKey | undefined {
  if (options.nextKey !== undefined)
    return { key: parseMasterKey(options.nextKey, 'VALET_MASTER_KEY_NEXT'), source: 'VALET_MASTER_KEY_NEXT' };
  if (options.nextFile !== undefined) return { key: readMasterKeyFile(options.nextFile), source: options.nextFile };
  return undefined;
}
