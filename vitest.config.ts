// One run for everything: unit tests beside the sources and the black-box suites under test/.
// The workspace is tested from its sources (`@mcp-valet/source`); test/repo alone looks at the build.
import { defineConfig } from 'vitest/config';

const conditions = ['@mcp-valet/source', 'module', 'node', 'development'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/support/cluster.ts', 'test/support/packages.ts'],
    environment: 'node',
    pool: 'forks',
    // One more than the cores that a small machine has: many suites wait for clocks and processes.
    maxWorkers: 3,
    // For what hangs, and not for what is slow: some tests compute for half a minute on a quiet machine, and a first PGlite database takes 9 s.
    testTimeout: 180_000,
    hookTimeout: 300_000,
    teardownTimeout: 10_000,
    // A test that asserts nothing cannot fail, so it fails; `only` would leave the rest unrun.
    // One second is short for what two busy cores do now and then; what must be fast says so in its test.
    expect: { requireAssertions: true, poll: { timeout: 10_000 } },
    allowOnly: false,
    passWithNoTests: false,
    unstubEnvs: true,
    unstubGlobals: true,
    restoreMocks: true,
    reporters: ['default'],
    silent: 'passed-only',
  },
});
