// In which segment of the journal this database is now. Asks the database each time: it may have been put back while the gateway ran.
import { type Database, internalsOf } from './client.ts';

/** The segment's random name. Begins a new one when the database is another one than when it was asked last. */
export async function readEpoch(db: Database): Promise<string> {
  const [row] = await internalsOf(db).driver.call('select valet_epoch($1) as epoch', [db.place]);
  if (typeof row?.epoch !== 'string') throw new TypeError('The database named no epoch.');
  return row.epoch;
}
