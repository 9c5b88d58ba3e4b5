// nginx with the configuration that ships in deploy/, on a loopback port, before gateways on theirs. Only addresses and paths are replaced.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../support/ports.ts';
import { Program } from './programs.ts';

const shipped = join(dirname(fileURLToPath(import.meta.url)), '../../../deploy/nginx/nginx.conf');

export async function startNginx(ports: readonly number[]): Promise<{ url: string; close(): Promise<void> }> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'valet-nginx-'));
  const servers = ports.map((each) => `server 127.0.0.1:${each} max_fails=1 fail_timeout=2s;`);
  const text = readFileSync(shipped, 'utf8')
    .replace(/^\s+server gateway-1:8787 max_fails=1 fail_timeout=2s;$/m, servers.join('\n'))
    .replace(/^\s+server gateway-2:8787 .*$/m, '')
    .replace('listen 8080;', `listen 127.0.0.1:${port};`)
    .replaceAll('/tmp/', `${dir}/`);
  for (const each of ports)
    if (!text.includes(`127.0.0.1:${each}`)) throw new Error('deploy/nginx/nginx.conf has changed');
  // Started by root it would give its workers another user, who may not enter the directory.
  const user = process.getuid?.() === 0 ? 'user root;\n' : '';
  writeFileSync(join(dir, 'nginx.conf'), user + text.replace('worker_processes auto', 'worker_processes 1'));
  const nginx = new Program('nginx', port, [
    '-p',
    dir,
    '-c',
    join(dir, 'nginx.conf'),
    '-e',
    'stderr',
    '-g',
    'daemon off;',
  ]);
  await nginx.start();
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      await nginx.stop('SIGTERM');
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
