// `pnpm lab:client`: how this SDK and others behave before one misbehaving server, printed as the table of packages/client/README.md. Loopback
// only, about six seconds. Measures the build, as users have it: `pnpm build` first. It states what it saw; it fails on nothing.
import { others, ours } from './subjects.ts';
import { table } from './table.ts';

// Its client declares Node 22 and is not installed here.
const notRun = ['@composio/core'];

process.stdout.write(`${await table([ours, ...others], notRun)}\n`);
process.stdout.write(`\nMeasured on ${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}.\n`);
// Queues of other libraries may still hold timers.
process.exit(0);
