// Says what a run of the tests leaves out because a program is missing on this machine, and what to install. Last, where it is read.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const programs = [
  {
    name: 'bwrap',
    without:
      'local servers were tested without their sandbox; install bubblewrap to test it (apt-get install bubblewrap)',
  },
  {
    name: 'redis-server',
    without: 'limits were not tested on Redis, nor its outages (apt-get install redis-server)',
  },
  {
    name: 'nginx',
    without: 'several gateways were not tested behind a balancer (apt-get install nginx)',
  },
  {
    name: 'chromium',
    without: 'the dashboard was not tested in a browser (apt-get install chromium)',
  },
  {
    name: 'docker-compose',
    without: 'the compose file was not rendered (apt-get install docker-compose)',
  },
  {
    name: 'go',
    without: 'the Helm chart was not rendered (apt-get install golang-go golang-github-masterminds-sprig-dev)',
  },
  {
    name: 'systemd-analyze',
    without: 'the systemd unit was not verified (apt-get install systemd)',
  },
];

/** For suites that need the program: `describe.runIf(isInstalled('nginx'))`. What they leave out is said at the end of the run. */
export function isInstalled(name: string): boolean {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'].some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      // Not in this folder.
      return false;
    }
  });
}

/** Called by vitest before anything runs; what it returns is called after everything ran. */
export function setup(): () => void {
  const missing = programs.filter(({ name }) => !isInstalled(name));
  return () => {
    for (const { name, without } of missing) process.stderr.write(`npm test: ${name} is missing: ${without}\n`);
  };
}
