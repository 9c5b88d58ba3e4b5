// What `mcp-valet doctor` says about one thing that it looked at.
export interface Finding {
  what: 'ok' | 'warn' | 'fail';
  about: string;
  found: string;
  /** What to do, where there is something to do. */
  advice?: string;
}

export const ok = (about: string, found: string): Finding => ({ what: 'ok', about, found });
export const warn = (about: string, found: string, advice: string): Finding => ({ what: 'warn', about, found, advice });
export const fail = (about: string, found: string, advice: string): Finding => ({ what: 'fail', about, found, advice });
export const nameOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
