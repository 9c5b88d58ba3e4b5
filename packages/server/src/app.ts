// Composition root: makes the parts, binds the planes, and takes both down again. Exports nothing that a part imports.
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream } from 'pino';
import { createKeyUse } from './api-keys/use.ts';
import { createTrail, recordEvent } from './audit/record.ts';
import { createRetention } from './audit/retention.ts';
import { createSealer } from './audit/sealer.ts';
import { bootstrap } from './bootstrap.ts';
import { createEpoch } from './calls/epoch.ts';
import { createJournal } from './calls/journal.ts';
import type { Config } from './config.ts';
import { createRestCarrier } from './connectors/backends/http.ts';
import { RawCarrier } from './connectors/backends/mcp-http-raw.ts';
import { createSdkCarrier } from './connectors/backends/mcp-http-sdk.ts';
import { createStdioCarrier } from './connectors/backends/mcp-stdio.ts';
import { deniedTargets } from './connectors/denied-targets.ts';
import { createDocumentSource } from './connectors/documents.ts';
import { createEgress, type LookupFn } from './connectors/egress.ts';
import { readStdioCatalog } from './connectors/stdio-catalog.ts';
import { createUpstreams } from './connectors/upstreams.ts';
import type { Parts } from './context.ts';
import { sweepLinks } from './credentials/oauth/connect-store.ts';
import { sweepExpiring } from './credentials/oauth/expiry.ts';
import { createRefresher } from './credentials/oauth/refresh.ts';
import { createGrantEnder } from './credentials/oauth/revoke.ts';
import { Vault } from './credentials/vault.ts';
import { openKeyring } from './crypto/keyring.ts';
import { dashboardRoutes } from './dashboard/routes.ts';
import { sweepSessions } from './dashboard/session-store.ts';
import { openDatabase } from './db/client.ts';
import { findEnded } from './db/find-ended.ts';
import { keyringStore } from './db/keyring-store.ts';
import { migrate } from './db/migrate.ts';
import { installationScope, withScope } from './db/scope.ts';
import { followChanges } from './follow-changes.ts';
import { bindContract } from './http/bind-contract.ts';
import { closeAll } from './http/close-all.ts';
import { connectRoutes } from './http/connect-routes.ts';
import { createApp } from './http/create-app.ts';
import { installGuards } from './http/guards.ts';
import { createHandlers } from './http/handlers.ts';
import { type Observation, openObservation } from './http/observe.ts';
import { openApiBytes } from './http/openapi.ts';
import { installOverload, type Reading } from './http/overload.ts';
import { installErrorReplies } from './http/reply-error.ts';
import { resourceMetadataRoutes } from './http/resource-metadata.ts';
import { toolCallEndpoint } from './http/tool-call-route.ts';
import { createDirectory } from './identity/directory.ts';
import type { VerifyToken } from './identity/session-verifier.ts';
import { createUserTokens } from './identity/user-token.ts';
import { newId } from './ids.ts';
import { sweepRefusedTokens } from './issuers/store.ts';
import { LiveUse } from './live-use.ts';
import { createLog, createLogNames } from './log.ts';
import { createConnectorViews } from './mcp/connector-views.ts';
import { mcpEndpoints } from './mcp/endpoint.ts';
import { createSdkLane } from './mcp/sdk-lane.ts';
import { openWindows } from './rate-limits/open-windows.ts';
import { createQuotas, sweepQuotas } from './rate-limits/quotas.ts';
import { createLimits } from './rate-limits/take.ts';
import { joinReplicas } from './replicas.ts';
import { followMasterKeys, holdMasterKeys } from './rotation/follow.ts';
import { keySourceOf } from './rotation/key-source.ts';
import { version } from './version.ts';
import { startWebhooks } from './webhooks/deliver.ts';

export interface GatewayOptions {
  /** Where log lines go; standard output by default. */
  logDestination?: DestinationStream;
  /**
   * Signs in with the sessions of the application that the gateway runs in: asked about every bearer token that is no key and no JWT of a
   * trusted issuer. A good answer is used again for up to 5 seconds; null is 401, an exception or no answer within 5 seconds is 503.
   */
  verifyToken?: VerifyToken;
  /** Tests only: answers every request that the other lane could answer too in this lane. */
  forceLane?: 'direct' | 'sdk';
  /** Tests only: stands in for name resolution, as whoever controls a zone would. */
  lookup?: LookupFn;
  /** Tests only: stands in for what the process says of its event loop and heap, which a test shares with its gateways and their databases. */
  readLoad?: () => Reading;
  /** Tests only: management replies that do not match the contract are errors. */
  checkReplies?: boolean;
}

export interface Gateway {
  app: FastifyInstance;
  parts: Parts;
  /** The first admin key, when this start generated it. It is shown once. */
  generatedApiKey: string | undefined;
  /** The master key file, when this start wrote it. */
  generatedMasterKeyFile: string | undefined;
  /** What the operator should know. */
  warnings: readonly string[];
  /** Starts to accept; returns the base URL. */
  listen(): Promise<string>;
  /** Stops accepting, ends streams, lets calls finish for up to 10 s, flushes the journal, closes the database. */
  close(): Promise<void>;
}

async function openStores(config: Config, { metrics }: Observation) {
  const { database } = config;
  const migrateUrl = database.kind === 'postgres' ? database.migrateUrl?.reveal() : undefined;
  const onWork = config.metricsToken && metrics.databaseWork;
  const db = await openDatabase({ url: database.url.reveal(), migrateUrl, onWork });
  try {
    const { warnings } = await migrate(db);
    const source = keySourceOf(config);
    const { provider, makeProvider } = source;
    const keyring = await openKeyring({
      store: keyringStore(db),
      newInstallationId: () => newId('inst'),
      provider,
      makeProvider,
    });
    const replica = await holdMasterKeys({ db, keyring });
    const first = await bootstrap({ db, keyring, config });
    return {
      db,
      keyring,
      replica,
      first,
      generatedMasterKeyFile: source.generatedFile(),
      warnings: [...config.warnings, ...warnings, ...first.warnings],
    };
  } catch (error) {
    await db.close();
    throw error;
  }
}

/** A gateway that is ready but does not listen yet. */
export async function createGateway(given: Config, options: GatewayOptions = {}): Promise<Gateway> {
  // A copy of our own: with port 0 the public URL is known only after `listen`.
  const config = { ...given };
  const names = createLogNames();
  const log = createLog(config, options.logDestination, names);
  const stdioCatalog = await readStdioCatalog(config.stdioCatalogFile);
  const observation = await openObservation(config, version);
  const { db, keyring, replica, first, generatedMasterKeyFile, warnings } = await openStores(config, observation);
  names.use((user) => keyring.digest('mcpv/log-user/1', user));
  const app = createApp(config, log);
  const denied = deniedTargets(config);
  const egress = createEgress({
    allowedCidrs: config.allowedUpstreamCidrs,
    denied,
    ...(options.lookup && { lookup: options.lookup }),
  });
  const clientInfo = { name: 'MCP Valet', version };
  const maxBytes = config.limits.resultBytes;
  const directory = createDirectory(db);
  const vault = new Vault({ keyring, now: () => performance.now() });
  const stdio = createStdioCarrier({ catalog: stdioCatalog, clientInfo, log, sandbox: config.stdioSandbox });
  const carriers = createUpstreams({
    raw: new RawCarrier({ egress, maxBytes, clientInfo }),
    sdk: createSdkCarrier({ egress, maxBytes, clientInfo }),
    stdio,
    rest: createRestCarrier({ egress, load: createDocumentSource(db), maxBytes, clientInfo }),
  });
  const trail = createTrail({ db, log, now: () => performance.now() });
  const journal = createJournal({
    db,
    log,
    onLate: (callId, accountId) =>
      void trail.refused({ accountId, actor: null, action: 'call.late_outcome', outcome: 'failed', target: callId }),
  });
  const monotonic = () => performance.now();
  const { installationId } = keyring;
  const replicas = await joinReplicas({ db, log });
  const opened = await openWindows({ config, db, log, installationId, now: monotonic, replicas });
  const sources = { ...directory, quotas: createQuotas(db, monotonic) };
  const limits = await createLimits(app, config, sources, monotonic, opened.windows);
  const refresher = createRefresher(
    { config, db, egress, keyring, vault, log },
    {
      record: async (tx, event) => {
        observation.metrics.refreshed(event.outcome);
        await recordEvent(tx, event);
      },
    },
  );
  const parts: Parts = {
    config,
    db,
    keyring,
    vault,
    egress,
    directory,
    userTokens: createUserTokens(
      { db, directory, egress, keyring, version },
      { verifyToken: options.verifyToken, defaultAccountId: first.accountId },
    ),
    keyUse: createKeyUse({ db, log }),
    carriers,
    upstreams: createConnectorViews(directory, carriers, vault),
    stdioCatalog,
    refresher,
    live: new LiveUse(
      { onChange: (listener) => directory.onChange(listener), findEnded: (all) => findEnded(db, all) },
      (error) => log.warn({ name: error instanceof Error ? error.name : typeof error }, 'live_use_failed'),
    ),
    grants: createGrantEnder({ config, db, egress, keyring, vault, log, directory }),
    journal,
    epoch: await createEpoch({ db, log }),
    trail,
    limits,
    replicas,
    metrics: observation.metrics,
    tracing: observation.tracing,
    log,
    version,
    startedAt: Date.now(),
  };
  followChanges(parts);
  observation.install(app);
  installGuards(app, config);
  const overload = installOverload(app, {
    isDatabaseReachable: db.isReachable,
    log,
    ...(options.readLoad && { read: options.readLoad }),
  });
  installErrorReplies(app, log);
  let closing: Promise<void> | undefined;
  const handlers = createHandlers({
    // Asked for at each request: with port 0 the public URL changes when the gateway listens.
    openapi: () => openApiBytes(config.publicUrl),
    isClosing: () => closing !== undefined,
  });
  bindContract(app, parts, handlers, { checkReplies: options.checkReplies ?? false });
  const sdkLane = createSdkLane(parts);
  const webhooks = startWebhooks(parts, {
    sweeps: [
      () => sweepExpiring(parts),
      () => opened.sweep(),
      ...[sweepLinks, sweepQuotas, sweepRefusedTokens, sweepSessions].map(
        (sweep) => () => withScope(db, installationScope, sweep),
      ),
    ],
  });
  const sealing = { db, keyring, log, copyFile: config.auditCheckpointFile };
  const keyFollower = followMasterKeys({ db, keyring, log, replica });
  const sealer = createSealer(sealing);
  const retention = createRetention({ ...sealing, days: config.auditRetentionDays });
  await app.register(toolCallEndpoint(parts));
  await app.register(connectRoutes(parts));
  await app.register(dashboardRoutes(parts));
  await app.register(resourceMetadataRoutes(parts));
  await app.register(mcpEndpoints(parts, sdkLane, options.forceLane));
  observation.expose(app, {
    isDatabaseReachable: db.isReachable,
    journalQueue: () => ({ intents: journal.waiting, outcomes: journal.late }),
    open: sdkLane.open,
    stdioChildren: stdio.processes,
    bodyBytes: () => overload.bodyBytes,
    overload: () => overload.refused,
    sealingLagMs: sealer.lagMs,
    limiter: limits.health,
  });
  await app.ready();

  return {
    app,
    parts,
    generatedApiKey: first.generatedApiKey,
    generatedMasterKeyFile,
    warnings,
    async listen() {
      await app.listen({ host: config.host, port: config.port });
      const { port, address } = app.server.address() as AddressInfo;
      // The gateway must not be its own upstream.
      denied.push({ host: address, port });
      const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
      if (config.port === 0 && new URL(config.publicUrl).port === '0') config.publicUrl = url;
      return url;
    },
    close: () =>
      (closing ??= setTimeout(config.shutdownDelayMs).then(() =>
        closeAll(app, parts, {
          sdkLane,
          refresher,
          webhooks,
          sealer,
          retention,
          keyFollower,
          windows: opened,
          replicas,
        }),
      )),
  };
}
