// The segments of the journal: one row for each time this database began anew or came back from a copy. Idempotency keys are good within one.
import { bigint, pgTable, text } from 'drizzle-orm/pg-core';
import { createdAt } from './schema.ts';

/** The newest row is the segment of now. Added and read by `valet_epoch` only, never changed. */
export const epochs = pgTable('epochs', {
  id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  /** Random; what replies and re-sends name. */
  epoch: text('epoch').notNull(),
  /** Which cluster, timeline, database and directory this was: another one is a copy. */
  place: text('place').notNull(),
  createdAt: createdAt(),
});
