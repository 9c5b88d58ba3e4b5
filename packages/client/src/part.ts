// Parts of the SDK that an application may never need are files of their own, loaded when they are first used. Only before anything is sent:
// what happens after a request never depends on a file that may be missing.
import { ConfigError } from './errors.ts';
import { nameOf } from './redact.ts';

/** A part, or the reason why there is none: a bundle without it, or a process that can open no more files. The next use tries again. */
export async function part<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new ConfigError({
      code: 'PART_NOT_LOADED',
      message: `A file of the SDK could not be loaded (${nameOf(error)}); nothing was sent`,
      hint: 'Deploy all files of @mcp-valet/client/dist, or bundle them',
    });
  }
}
