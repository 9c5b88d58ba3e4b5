// Which key a session of the dashboard stands for: one statement, scope set inside (migration 0017). Only encodes and decodes.
import { type Database, internalsOf } from './client.ts';
import { type FoundPrincipal, principalOfRow } from './hot-path.ts';

export interface FoundSession {
  id: string;
  /** By the database clock, negative when over. */
  remainingMs: number;
  /** What let a person in who signed in at an issuer; null: a key was shown. */
  admittedBy: readonly string[] | null;
  /** The key, as its own sign-in would find it. */
  key: FoundPrincipal;
}

export async function findSession(db: Database, hash: Uint8Array): Promise<FoundSession | undefined> {
  const [row] = await internalsOf(db).driver.call('select * from valet_find_session($1)', [hash]);
  return (
    row && {
      id: row.session_id as string,
      remainingMs: Number(row.session_ms),
      admittedBy: row.admitted_by as string[] | null,
      key: principalOfRow(row),
    }
  );
}
