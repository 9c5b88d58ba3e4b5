// Runs a fast-check property as one assertion, with the counterexample as its message. For tests of properties only.
import fc from 'fast-check';
import { expect } from 'vitest';

/** The property holds for `numRuns` generated cases. */
export function holds<T>(property: fc.IProperty<T>, numRuns: number): void {
  const details = fc.check(property, { numRuns });
  expect(details.failed, fc.defaultReportMessage(details) ?? 'holds').toBe(false);
}

/** The same for a property that waits for something. */
export async function holdsAsync<T>(property: fc.IAsyncProperty<T>, numRuns: number): Promise<void> {
  const details = await fc.check(property, { numRuns });
  expect(details.failed, (await fc.asyncDefaultReportMessage(details)) ?? 'holds').toBe(false);
}
