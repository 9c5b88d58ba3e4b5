// Runs the public MCP conformance suite as a child process against a URL and reads back what each scenario checked.
// Must not judge by the exit code alone, and must never outlive its deadline.
import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

export type RequirementSet = '2025-11-25' | '2026-07-28';

interface ConformanceCheck {
  readonly id: string;
  readonly name: string;
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO';
  readonly description: string;
  readonly errorMessage?: string;
  readonly details?: unknown;
}

interface ScenarioResult {
  readonly id: string;
  /** Numbers of checks with that outcome. */
  readonly passed: number;
  readonly failed: number;
  readonly warnings: number;
  readonly skipped: number;
  readonly checks: readonly ConformanceCheck[];
}

export interface ConformanceRun {
  readonly scenarios: readonly ScenarioResult[];
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  /** What the command line printed, for a failure message. */
  readonly output: string;
}

export interface ConformanceOptions {
  readonly url: string;
  /** All scenarios of a frozen requirement set. Either this or `scenario`. */
  readonly requirements?: RequirementSet;
  readonly scenario?: string;
  readonly specVersion?: RequirementSet;
  /** Keeps the suite's own result files; a temporary directory is used and removed when absent. */
  readonly outDir?: string;
  /** Deadline of the whole run; 180 s for a set and 45 s for a scenario when absent. */
  readonly timeoutMs?: number;
  /** Deadline of one scenario, 30 s when absent. */
  readonly scenarioTimeoutMs?: number;
}

// The package exports nothing, so its entry file is found next to its package.json.
const packageFile = createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/package.json');
const cli = ['--import', new URL('./node20.mjs', import.meta.url).href, join(dirname(packageFile), 'dist', 'index.js')];

export async function runConformance(options: ConformanceOptions): Promise<ConformanceRun> {
  const outDir = options.outDir ?? (await mkdtemp(join(tmpdir(), 'mcp-conformance-')));
  await mkdir(outDir, { recursive: true });
  const args = [...cli, 'server', '--url', options.url, '-o', outDir];
  if (options.requirements !== undefined) args.push('--requirements', options.requirements);
  if (options.scenario !== undefined) args.push('--scenario', options.scenario);
  if (options.specVersion !== undefined) args.push('--spec-version', options.specVersion);
  args.push('--timeout', String(options.scenarioTimeoutMs ?? 30_000));
  const startedAt = Date.now();
  try {
    const ended = await runCli(args, options.timeoutMs ?? (options.scenario === undefined ? 180_000 : 45_000));
    return { scenarios: await readResults(outDir, startedAt), ...ended };
  } finally {
    if (options.outDir === undefined) await rm(outDir, { recursive: true, force: true });
  }
}

/** The server scenarios that a frozen requirement set scores, as the package itself lists them. */
export async function requiredScenarios(requirements: RequirementSet): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...cli, 'list', '--requirements', requirements, '--server'],
    { timeout: 30_000 },
  );
  const scored = stdout.split('Run and reported')[0] ?? '';
  const servers = scored.slice(scored.indexOf('Server scenarios')).split(/^Client scenarios/m)[0] ?? '';
  return [...servers.matchAll(/^\s+- (\S+)\s*$/gm)].map((match) => match[1] ?? '');
}

/** The suite adds this to every scenario: valid messages alone do not show that the scenario's subject was exercised. */
const formCheck = 'wire-schema-valid';

/**
 * One line per scenario that cannot be called passed: it did not run, checked nothing of its subject, or failed.
 * Warnings count when `strict` names the scenario.
 */
export function unmet(run: ConformanceRun, required: readonly string[], strict: readonly string[] = []): string[] {
  const lines: string[] = [];
  for (const id of required) {
    const scenario = run.scenarios.find((candidate) => candidate.id === id);
    if (scenario === undefined) {
      lines.push(`${id}: did not run${run.timedOut ? ' before the deadline' : ''}`);
      continue;
    }
    const bad = scenario.checks.filter(
      ({ status }) => status === 'FAILURE' || (status === 'WARNING' && strict.includes(id)),
    );
    if (bad.length > 0)
      lines.push(...bad.map((check) => `${id}: ${check.id}: ${check.errorMessage ?? check.description}`));
    else if (!scenario.checks.some(({ id: check, status }) => status === 'SUCCESS' && check !== formCheck))
      lines.push(`${id}: nothing was checked (${describe(scenario)})`);
  }
  return lines;
}

function describe(scenario: ScenarioResult): string {
  return scenario.checks.map((check) => `${check.id} ${check.status}`).join(', ') || 'no checks';
}

function runCli(
  args: readonly string[],
  timeoutMs: number,
): Promise<{ exitCode: number | null; timedOut: boolean; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let timedOut = false;
    const keep = (chunk: Buffer) => {
      output += chunk.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (exitCode) => {
      clearTimeout(timer);
      resolve({ exitCode, timedOut, output });
    });
  });
}

const resultFolder = /^server-(.+)-(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})-(\d{3})Z$/;

/** Each scenario leaves a folder `server-<scenario>-<time>` with a `checks.json`; older folders are another run's. */
async function readResults(outDir: string, startedAt: number): Promise<ScenarioResult[]> {
  const scenarios: ScenarioResult[] = [];
  for (const folder of (await readdir(outDir)).sort()) {
    const [, id, day, hours, minutes, seconds, millis] = resultFolder.exec(folder) ?? [];
    if (id === undefined || Date.parse(`${day}T${hours}:${minutes}:${seconds}.${millis}Z`) < startedAt) continue;
    const checks = await readChecks(join(outDir, folder, 'checks.json'));
    const count = (status: ConformanceCheck['status']) => checks.filter((check) => check.status === status).length;
    scenarios.push({
      id,
      passed: count('SUCCESS'),
      failed: count('FAILURE'),
      warnings: count('WARNING'),
      skipped: count('SKIPPED'),
      checks,
    });
  }
  return scenarios;
}

async function readChecks(file: string): Promise<ConformanceCheck[]> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as ConformanceCheck[];
  } catch (error) {
    // The folder is made before the scenario runs: without the file it never finished.
    const errorMessage = `No readable result: ${error instanceof Error ? error.message : String(error)}`;
    return [{ id: 'no-result', name: 'NoResult', status: 'FAILURE', description: 'Scenario finished', errorMessage }];
  }
}
