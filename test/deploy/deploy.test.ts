// The files that deploy the gateway, as far as they can be judged without a container engine or a cluster: checked by their own tools, rendered,
// and read as what an orchestrator would get. What a missing program leaves out is said once, by test/support/packages.ts.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { validate } from 'dockerfile-utils';
import { load, loadAll } from 'js-yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../packages/server/src/config.ts';
import { read, root } from '../repo/workspace.ts';
import { isInstalled } from '../support/packages.ts';

type Tree = Record<string, unknown>;
const at = (tree: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((value, key) => (value as Tree | undefined)?.[key], tree);

const work = mkdtempSync(join(tmpdir(), 'valet-deploy-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe('the Dockerfile', () => {
  const text = read('Dockerfile');

  it('has no fault that the Dockerfile validator knows', () => {
    expect(validate(text).map(({ message, range }) => JSON.stringify([range.start.line + 1, message]))).toEqual([]);
    expect(validate('FROM a AS b c\nEXPOSE x')).not.toEqual([]);
  });

  it('ends in a stage of its own that runs as a numbered user who is not root, with a probe', () => {
    const last = text.slice(text.lastIndexOf('\nFROM '));
    expect(text.match(/^FROM /gm)).toHaveLength(2);
    expect(last).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
    expect(last).toMatch(/^HEALTHCHECK .*CMD \["node", "bin\/health\.js"\]$/m);
    expect(last).not.toMatch(/^(COPY|ADD) (?!--from=build)/m);
  });

  it('uses the pnpm of this repository', () => {
    const { packageManager } = JSON.parse(read('package.json')) as { packageManager: string };
    expect(text).toContain(packageManager);
  });
});

describe('the probe', () => {
  let server: Server;
  let port = 0;
  let status = 200;
  const seen: (string | undefined)[] = [];

  beforeAll(async () => {
    server = createServer((request, response) => {
      seen.push(`${request.url} ${request.headers.host}`);
      response.writeHead(status).end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  const probe = (env: Record<string, string>): Promise<number | null> =>
    new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [join(root, 'packages/server/bin/health.js')], { env, stdio: 'ignore' });
      child.on('error', reject).on('exit', resolve);
    });

  it('asks under the public host name, which is the one that the gateway answers to', async () => {
    expect(await probe({ PORT: String(port), HOST: '0.0.0.0', VALET_PUBLIC_URL: 'https://mcp.example.com' })).toBe(0);
    expect(seen.at(-1)).toBe('/healthz mcp.example.com');
    const config = loadConfig({ HOST: '0.0.0.0', PORT: String(port) });
    expect(await probe({ PORT: String(port), HOST: '0.0.0.0' })).toBe(0);
    expect(config.allowedHosts).toContain(seen.at(-1)?.replace('/healthz ', '').replace(/:\d+$/, ''));
  });

  it('fails when the answer is no 200, and when there is none', async () => {
    status = 503;
    expect(await probe({ PORT: String(port) })).toBe(1);
    expect(await probe({ PORT: '1' })).toBe(1);
  });
});

describe.runIf(isInstalled('docker-compose'))('the compose file', () => {
  it('renders with the secrets that make-env writes and refuses to without them', () => {
    const env = join(work, 'env');
    writeFileSync(env, execFileSync(join(root, 'deploy/make-env'), { encoding: 'utf8' }), { mode: 0o600 });
    const compose = (...args: string[]) =>
      spawnSync('docker-compose', [...args, '-f', join(root, 'deploy/compose.yaml'), 'config'], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] },
        cwd: work,
      });
    const rendered = compose('--env-file', env);
    expect(rendered.stderr).toBe('');
    const { services } = load(rendered.stdout) as { services: Record<string, Tree> };
    expect(Object.keys(services).sort()).toEqual(['gateway-1', 'gateway-2', 'nginx', 'postgres', 'redis']);
    for (const name of ['gateway-1', 'gateway-2']) {
      const service = services[name] ?? {};
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], stop_grace_period: '20s' });
      // What the containers get is a configuration that the gateway starts with.
      const config = loadConfig(service['environment'] as Record<string, string>);
      expect(config).toMatchObject({
        database: { kind: 'postgres' },
        publicUrl: 'http://localhost:8080',
        warnings: [],
      });
    }
    const bare = compose();
    expect(bare.status).not.toBe(0);
    expect(bare.stderr).toContain('run deploy/make-env');
  });

  it('mounts files that are there, and can be run', () => {
    const { services } = load(read('deploy/compose.yaml')) as { services: Record<string, { volumes?: string[] }> };
    const mounted = Object.values(services)
      .flatMap(({ volumes = [] }) => volumes)
      .map((volume) => volume.split(':')[0] ?? '')
      .filter((path) => path.startsWith('./'));
    expect(mounted).toHaveLength(2);
    for (const path of mounted) expect(statSync(join(root, 'deploy', path)).isFile()).toBe(true);
    expect(statSync(join(root, 'deploy/postgres/init.sh')).mode & 0o111).toBe(0o111);
  });
});

describe.runIf(isInstalled('go'))('the Helm chart', () => {
  const chart = join(root, 'deploy/helm/mcp-valet');
  const defaults = load(read('deploy/helm/mcp-valet/values.yaml')) as Tree;
  const { name, version, appVersion } = load(read('deploy/helm/mcp-valet/Chart.yaml')) as Record<string, string>;
  let renderer = '';

  beforeAll(() => {
    renderer = join(work, 'render');
    execFileSync('go', ['build', '-o', renderer, join(root, 'test/deploy/render.go')], {
      env: { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: join(work, 'go'), GOFLAGS: '' },
    });
  }, 120_000);

  function render(values: Tree): Record<string, Tree> {
    const data = join(work, 'values.json');
    const given = { publicUrl: 'https://mcp.example.com', existingSecret: 'valet', ...values };
    writeFileSync(
      data,
      JSON.stringify({
        Values: { ...defaults, ...given },
        Release: { Name: 'valet', Service: 'Helm' },
        Chart: { Name: name, Version: version, AppVersion: appVersion },
      }),
    );
    const objects = loadAll(execFileSync(renderer, [chart, data], { encoding: 'utf8' })) as (Tree | null)[];
    return Object.fromEntries(objects.flatMap((object) => (object ? [[String(object['kind']), object]] : [])));
  }

  it('gives a deployment, a service and a disruption budget that select the same pods', () => {
    const objects = render({});
    expect(Object.keys(objects).sort()).toEqual(['Deployment', 'PodDisruptionBudget', 'Service']);
    const labels = at(objects['Deployment'], 'spec.template.metadata.labels');
    for (const selector of [
      at(objects['Deployment'], 'spec.selector.matchLabels'),
      at(objects['Service'], 'spec.selector'),
      at(objects['PodDisruptionBudget'], 'spec.selector.matchLabels'),
    ])
      expect(labels).toMatchObject(selector as Tree);
  });

  it('runs without root, capabilities or a writable root, and probes under the public host name', () => {
    const deployment = render({ env: { VALET_RATE_LIMIT: '50' } })['Deployment'];
    expect(at(deployment, 'spec.replicas')).toBe(2);
    const pod = at(deployment, 'spec.template.spec') as Tree;
    expect(pod).toMatchObject({ automountServiceAccountToken: false, terminationGracePeriodSeconds: 25 });
    expect(pod['securityContext']).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 });
    const [container] = pod['containers'] as [Tree];
    expect(container).toMatchObject({
      image: `mcp-valet:${appVersion}`,
      securityContext: {
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      },
      envFrom: [{ secretRef: { name: 'valet' } }],
      resources: at(defaults, 'resources'),
    });
    const mount = { name: 'ca', mountPath: '/etc/ca' };
    const more = render({ extraVolumes: [{ name: 'ca', secret: { secretName: 'ca' } }], extraVolumeMounts: [mount] });
    const withMore = at(more['Deployment'], 'spec.template.spec') as { volumes: Tree[]; containers: Tree[] };
    expect(withMore.volumes.map((volume) => volume['name'])).toEqual(['tmp', 'data', 'ca']);
    expect(withMore.containers[0]?.['volumeMounts']).toContainEqual(mount);
    expect(container['env']).toContainEqual({ name: 'VALET_RATE_LIMIT', value: '50' });
    for (const [probe, path] of [
      ['startupProbe', '/readyz'],
      ['livenessProbe', '/healthz'],
      ['readinessProbe', '/readyz'],
    ] as const)
      expect(at(container, `${probe}.httpGet`)).toMatchObject({
        path,
        httpHeaders: [{ name: 'Host', value: 'mcp.example.com' }],
      });
  });

  it('adds an ingress and scaling when asked, and leaves the number of pods to the scaler then', () => {
    const objects = render({
      publicUrl: 'https://mcp.example.com:8443',
      ingress: { enabled: true, className: 'nginx', annotations: { a: 'b' }, tlsSecretName: 'tls' },
      autoscaling: { enabled: true, minReplicas: 3, maxReplicas: 9, targetCPUUtilizationPercentage: 60 },
    });
    expect(at(objects['Ingress'], 'spec')).toMatchObject({
      ingressClassName: 'nginx',
      tls: [{ hosts: ['mcp.example.com'], secretName: 'tls' }],
      rules: [{ host: 'mcp.example.com' }],
    });
    expect(at(objects['HorizontalPodAutoscaler'], 'spec')).toMatchObject({ minReplicas: 3, maxReplicas: 9 });
    expect(at(objects['Deployment'], 'spec')).not.toHaveProperty('replicas');
  });
});

describe.runIf(isInstalled('systemd-analyze'))('the systemd unit', () => {
  const unit = join(root, 'deploy/systemd/mcp-valet.service');

  it('has no fault that systemd knows, and little to lose', () => {
    expect(spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })).toMatchObject({
      status: 0,
      stderr: '',
    });
    const broken = join(work, 'broken.service');
    writeFileSync(broken, readFileSync(unit, 'utf8').replace('DynamicUser=yes', 'DynamicUsr=yes'));
    expect(spawnSync('systemd-analyze', ['verify', broken], { encoding: 'utf8' }).stderr).toContain('DynamicUsr');
    const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=20', unit], {
      encoding: 'utf8',
    });
    expect(Number(/exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1])).toBeLessThan(2);
  });
});
