// Who may know whom. A comment below is the sentence of CONTRIBUTING.md that its rule holds; test/repo checks that they stay the
// same and that every rule bites. Type-only imports count: a type is knowledge too.
const nouns =
  '(accounts|servers|users|groups|api-keys|connectors|credentials|restrictions|rate-limits|calls|audit|identity|issuers|settings|webhooks)';
const server = '^packages/server/src';
const roots = `${server}/(main|app|index|testing)\\.ts$`;
const unitTest = '(\\.test|\\.test-support|-test-[^/]+)\\.ts$';
const ours = ['^packages/', '^examples/'];

const rule = (name, comment, from, to) => ({
  name,
  comment,
  severity: 'error',
  from: { ...from, pathNot: [unitTest, ...(from.pathNot ?? [])] },
  to,
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    rule(
      'shared-knows-zod',
      '`shared` imports zod only.',
      { path: '^packages/shared/src' },
      { pathNot: ['^packages/shared/src', '(^|/)node_modules/zod/'] },
    ),
    rule(
      'client-knows-shared-and-ky',
      '`client` imports `shared` and ky, an adapter also its framework, and nothing of Node.',
      { path: '^packages/client/src' },
      { pathNot: ['^packages/(client|shared)/src', '(^|/)node_modules/ky/'], dependencyTypesNot: ['npm-peer'] },
    ),
    rule(
      'server-never-knows-client',
      '`server` imports `shared`, never `client` (the dashboard and tests do).',
      { path: server, pathNot: [`${server}/dashboard/`] },
      { path: ['^packages/client/', '^examples/'] },
    ),
    rule(
      'dashboard-uses-the-sdk',
      'The dashboard reaches the gateway through `client` only.',
      { path: '^packages/server/dashboard/src' },
      { path: ours, pathNot: ['^packages/server/dashboard/src', '^packages/client/(src|dist)/index\\.[a-z.]+$'] },
    ),
    rule(
      'examples-use-public-entries',
      '`examples` import `client` and `@mcp-valet/server/testing`, and nothing inside them.',
      { path: '^examples/([^/]+)/' },
      {
        path: ours,
        pathNot: [
          '^examples/$1/',
          '^packages/client/src/(adapters/)?[^/]+\\.ts$',
          '^packages/server/src/(testing|index)\\.ts$',
        ],
      },
    ),
    rule('nothing-knows-test', 'Nothing imports `test`.', { path: ours }, { path: '^test/' }),
    {
      name: 'no-cycles',
      comment: 'No cycles, type-only ones included.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    rule(
      'roots-are-leaves',
      'Composition roots (`main`, `app`, `index`, `testing`) export nothing that a part imports.',
      { path: server, pathNot: [roots, `${server}/cli/`] },
      { path: roots },
    ),
    rule(
      'foundations-know-nothing',
      '`crypto/`, `ids` and `config` import nothing of ours.',
      { path: `${server}/(crypto/|(ids|secret|config|config-variables)\\.ts$)` },
      // The configuration is three files.
      { path: ours, pathNot: [`${server}/crypto/`, `${server}/(secret|config-variables)\\.ts$`] },
    ),
    rule(
      'db-knows-its-schema',
      '`db/` imports only its own schema.',
      { path: `${server}/db/` },
      { path: ours, pathNot: `${server}/db/` },
    ),
    rule(
      'nouns-meet-in-stores',
      "A noun imports `shared`, `db/`, `crypto/`, the files beside the folders (`ids`, `context`, `refusal`), who calls (`identity/principal`, `identity/records`), other nouns' stores and the trail (`audit/record`); never another noun's handlers, never `mcp/` or `http/`.",
      { path: `${server}/${nouns}/` },
      {
        path: server,
        pathNot: [
          `${server}/$1/`,
          `${server}/(db|crypto)/`,
          `${server}/[^/]+\\.ts$`,
          `${server}/identity/(principal|records)\\.ts$`,
          `${server}/${nouns}/store\\.ts$`,
          `${server}/credentials/oauth/(client|connect|grant)-store\\.ts$`,
          `${server}/audit/record\\.ts$`,
          // The rule below says who; a store seals.
          `${server}/credentials/vault\\.ts$`,
        ],
      },
    ),
    rule(
      'fastify-stays-at-the-edge',
      'Handlers, stores, verbs and tools do not import Fastify; `rate-limits/take` alone does, because the limiter is a plugin of it.',
      {
        path: server,
        pathNot: [
          roots,
          `${server}/(http|dashboard)/`,
          `${server}/mcp/(endpoint|tool-call)\\.ts$`,
          `${server}/rate-limits/take\\.ts$`,
        ],
      },
      { path: '(^|/)node_modules/(fastify|@fastify)/' },
    ),
    rule(
      'mcp-knows-verbs',
      '`mcp/` imports verbs, never handlers.',
      { path: `${server}/mcp/` },
      { path: `${server}/[^/]+/handlers\\.ts$` },
    ),
    rule(
      'vault-is-for-the-pipeline',
      'Only `mcp/call` and `connectors/forward` open a secret; stores seal; others know at most the type.',
      { path: ours, pathNot: [roots, `${server}/(mcp/call|connectors/forward|${nouns}/store)\\.ts$`] },
      { path: `${server}/credentials/vault\\.ts$`, dependencyTypesNot: ['type-only'] },
    ),
    rule(
      'one-door-out',
      'Outbound requests are made by `connectors/egress`.',
      // config only asks whether a text is an address.
      { path: server, pathNot: [`${server}/config(-variables)?\\.ts$`, `${server}/connectors/egress[^/]*(\\.ts$|/)`] },
      {
        path: ['^(node:)?(http|https|http2|net|tls|dgram)$', '(^|/)node_modules/undici/'],
        dependencyTypesNot: ['type-only'],
      },
    ),
    rule(
      'one-starter-of-processes',
      'Processes are started by `connectors/backends/mcp-stdio`; `db/lock` may ask whether one lives.',
      {
        path: '^packages/[^/]+/src',
        pathNot: [`${server}/connectors/backends/mcp-stdio[^/]*(\\.ts$|/)`, `${server}/db/lock\\.ts$`],
      },
      { path: '^(node:)?(child_process|cluster)$' },
    ),
    {
      name: 'resolvable',
      comment: 'Every import resolves.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['/dist/', '^test/seeds/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      conditionNames: ['@mcp-valet/source', 'import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
      mainFields: ['module', 'main', 'types'],
    },
  },
};
