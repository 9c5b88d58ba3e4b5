// The gateway as a process: reads the configuration, starts, says where it is, and ends in order. The only file that exits and prints.
// Without arguments it serves; every other command is answered by cli/, which says what to print and with which exit code.
import type { Gateway } from './app.ts';
import { groupsFor } from './cli/commands.ts';
import { type CommandGroup, runCommand } from './cli/program.ts';
import { ConfigError, loadConfig } from './config.ts';
import { switchDebug } from './log.ts';

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const complain = (text: string): void => void process.stderr.write(`${text}\n`);
const shutdownMs = 15_000;

// Whoever reads the answer may have read enough (`| head`); a gateway serves on whatever becomes of its output.
let serves = false;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (serves || error.code === 'EPIPE') return;
  complain(`The answer could not be written (${error.code ?? error.name}).`);
  process.exit(2);
});
process.stderr.on('error', () => undefined);

function welcome(gateway: Gateway, url: string): void {
  const { config } = gateway.parts;
  const where = config.database.kind === 'postgres' ? 'PostgreSQL' : (config.database.dir ?? 'memory');
  say(`MCP Valet ${gateway.parts.version} listens on ${url}`);
  say(`Data: ${where}`);
  for (const warning of gateway.warnings) complain(`Warning: ${warning}`);
  if (gateway.generatedMasterKeyFile !== undefined) {
    say(
      `Master key: ${gateway.generatedMasterKeyFile} (written now; without it no stored secret can be opened, so keep a copy apart from the data)`,
    );
  }
  const key = gateway.generatedApiKey;
  if (key === undefined) return;
  say('\nAdmin API key, shown this once:\n');
  say(`  ${key}\n`);
  say('Try it:\n');
  say(`  curl ${url}/api/me -H 'Authorization: Bearer ${key}'\n`);
}

async function serve(): Promise<void> {
  serves = true;
  // Only here: commands start without loading a gateway.
  const { createGateway } = await import('./app.ts');
  const gateway = await createGateway(loadConfig());
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) process.exit(1);
    isStopping = true;
    // Whatever hangs, the process ends in time.
    setTimeout(() => process.exit(1), gateway.parts.config.shutdownDelayMs + shutdownMs).unref();
    gateway.close().then(
      () => process.exit(0),
      (error: unknown) => {
        complain(`Shutdown failed: ${error instanceof Error ? error.name : 'unknown error'}`);
        process.exit(1);
      },
    );
  };
  process.on('SIGUSR2', () => switchDebug(gateway.parts.log));
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      gateway.parts.log.fatal({ event, name: error instanceof Error ? error.name : typeof error }, 'last_resort');
      if (error instanceof Error)
        gateway.parts.log.debug({ at: error.stack?.split('\n').slice(1, 6) }, 'last_resort_at');
      process.exit(1);
    });
  }
  const url = await gateway.listen();
  welcome(gateway, url);
}

/** Its failures are those of a start, which the last lines tell. */
const serveCommand: CommandGroup = (program) => {
  program
    .command('serve')
    .description('Start the gateway. What it does without a command.')
    .action(() => serve());
};

async function run(args: readonly string[]): Promise<void> {
  const code = await runCommand(args.length === 0 ? ['serve'] : args, [serveCommand, ...(await groupsFor(args))], {
    say,
    complain,
    isInteractive: process.stderr.isTTY === true,
  });
  process.exitCode = code;
}

run(process.argv.slice(2)).catch((error: unknown) => {
  // Configuration, key and lock errors are written for the operator; anything else shows its name and message once, before any request.
  complain(
    error instanceof ConfigError
      ? error.message
      : `MCP Valet cannot start: ${error instanceof Error ? error.message : String(error)}`,
  );
  process.exit(1);
});
