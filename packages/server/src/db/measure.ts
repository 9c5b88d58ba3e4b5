// Tells how long the database took, for metrics. Sees no statement and no value; changes nothing.
import type { Driver } from './driver.ts';
import { asDatabaseError, DatabaseUnavailable } from './errors.ts';

/** `failure`: why the database was not available; undefined when it answered, be it with a refusal. */
export type OnWork = (seconds: number, failure: string | undefined) => void;

export function measured<D extends Driver>(driver: D, onWork: OnWork): D {
  const timed = async <T>(work: Promise<T>): Promise<T> => {
    const beganAt = performance.now();
    let failure: string | undefined;
    try {
      return await work;
    } catch (error) {
      const known = asDatabaseError(error);
      if (known instanceof DatabaseUnavailable) failure = known.code;
      throw error;
    } finally {
      onWork((performance.now() - beganAt) / 1000, failure);
    }
  };
  return {
    ...driver,
    call: (text, params) => timed(driver.call(text, params)),
    read: (scope, text, params) => timed(driver.read(scope, text, params)),
    transaction: (scope, fn) => timed(driver.transaction(scope, fn)),
  };
}
