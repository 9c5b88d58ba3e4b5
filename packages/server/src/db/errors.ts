// What a database failure looks like to the rest of the gateway: unavailable (answer 503), or a refused statement with its SQLSTATE.
// Driver and query-builder errors never leave db/: they carry statements and parameters, hence secrets.
import { DrizzleQueryError } from 'drizzle-orm/errors';

/** The database did not answer in time or cannot be reached. Whether the work was done is unknown. */
export class DatabaseUnavailable extends Error {
  override readonly name = 'DatabaseUnavailable';
  /** SQLSTATE, errno or `DEADLINE`. */
  readonly code: string;
  constructor(code: string) {
    super(`The database is not available (${code}).`);
    this.code = code;
  }
}

/** The database refused a statement. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  /** SQLSTATE, for example 23505. */
  readonly code: string;
  readonly constraint: string | undefined;
  constructor(code: string, message: string, constraint: string | undefined) {
    super(message);
    this.code = code;
    this.constraint = constraint;
  }
}

// Not reachable, shutting down, out of connections or disk, cancelled by a timeout of ours.
const unavailable =
  /^(08...|57P0[1-5]|57014|53...|55P03|25P03|E[A-Z]{4,}|CONNECT_TIMEOUT|CONNECTION_(CLOSED|DESTROYED|ENDED)|DEADLINE)$/;

/** Any error of the driver or the query builder as one of the two above; everything else unchanged. */
export function asDatabaseError(error: unknown): unknown {
  if (error instanceof DrizzleQueryError) return asDatabaseError(error.cause);
  if (!(error instanceof Error) || error instanceof DatabaseError || error instanceof DatabaseUnavailable) return error;
  const { code, constraint, constraint_name, severity } = error as Error &
    Partial<Record<'code' | 'constraint' | 'constraint_name' | 'severity', string>>;
  if (typeof code !== 'string') return error;
  if (unavailable.test(code)) return new DatabaseUnavailable(code);
  if (severity === undefined && !/^[0-9A-Z]{5}$/.test(code)) return error;
  // Class 22 quotes the offending value in its message.
  const message = code.startsWith('22') ? `The database refused a value (${code}).` : `${error.message} (${code})`;
  return new DatabaseError(code, message, constraint_name ?? constraint);
}

/** Works on what a statement inside a scope throws and on what `withScope` throws. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  const known = asDatabaseError(error);
  return (
    known instanceof DatabaseError &&
    known.code === '23505' &&
    (constraint === undefined || known.constraint === constraint)
  );
}
