// A real browser for the dashboard: Chromium of the machine, driven by playwright-core, with axe inside. Asserts nothing.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const shots = join(import.meta.dirname, 'screenshots');

export const desktop = { width: 1280, height: 860 };
export const phone = { width: 375, height: 740 };

export interface Visitor {
  page: Page;
  context: BrowserContext;
  /** What the console and the page complained about, refused policy included. */
  complaints: string[];
}

export const startBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: '/usr/bin/chromium',
    // In containers the browser's own sandbox has no place to stand.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });

export async function visit(browser: Browser, url: string): Promise<Visitor> {
  const context = await browser.newContext({ viewport: desktop, colorScheme: 'light', baseURL: url });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, context, complaints };
}

/** The long form of the proof looks at every page in both themes; the short one at those that people see most. */
export const isLong = process.env['PROOF_LONG'] === '1';
const alwaysShot = new Set([
  'login-issuer-light',
  'try-call-light',
  'restrictions-light',
  'draft-light',
  'draft-dark',
  'draft-phone',
  'overview-dark',
  'users-phone',
]);

/** For whoever looks at them: kept as they were when the test passed this point. */
export async function shoot(page: Page, name: string): Promise<void> {
  if (!isLong && !alwaysShot.has(name)) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

/** Serious and critical findings of axe, each with where it is. The page's policy lets no script in but ours, so axe comes by the protocol. */
export async function findings(page: Page, rules?: readonly string[]): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async (only) => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(options: object): Promise<{
          violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[];
        }>;
      };
    };
    const { violations } = await axe.run(only === undefined ? {} : { runOnly: only });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
  }, rules);
}

/** Pixels by which the page is wider than the screen. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
