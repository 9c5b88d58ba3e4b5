// Imports one OpenAPI document in a process of its own and prints what it took, as JSON. Run by the suites about documents.
import { readFileSync } from 'node:fs';
import { actionItems } from '../../packages/server/src/connectors/openapi/describe.ts';
import { importDocument } from '../../packages/server/src/connectors/openapi/import.ts';

const text = readFileSync(process.argv[2] ?? '', 'utf8');
const started = performance.now();
const cpuMs = (): number => process.cpuUsage().user / 1_000;
const startedCpuMs = cpuMs();
const { compiled, warnings } = importDocument(text);
const importMs = performance.now() - started;
const items = actionItems(compiled);
const describedBytes = JSON.stringify(items).length;
const describeMs = performance.now() - started - importMs;
const usedCpuMs = cpuMs() - startedCpuMs;
const peakMb = process.resourceUsage().maxRSS / 1024;
const compiledBytes = JSON.stringify(compiled).length;
process.stdout.write(
  JSON.stringify({
    importMs,
    describeMs,
    usedCpuMs,
    peakMb,
    compiledBytes,
    describedBytes,
    items: items.length,
    warnings,
  }),
);
