// Every group of commands. A new one is a file beside this one and a line here. A command loads its own group only: most of a start is loading.
import type { CommandGroup } from './program.ts';

/** By the word with which its commands begin, in the order of the help. */
const groups: Readonly<Record<string, () => Promise<CommandGroup>>> = {
  init: async () => (await import('./init.ts')).initCommands,
  doctor: async () => (await import('./doctor.ts')).doctorCommands,
  keys: async () => (await import('./keys.ts')).keyCommands,
  users: async () => (await import('./users.ts')).userCommands,
  connectors: async () => (await import('./connectors.ts')).connectorCommands,
  config: async () => (await import('./config.ts')).configCommands,
  'master-key': async () => (await import('./master-key.ts')).masterKeyCommands,
  db: async () => (await import('./db.ts')).dbCommands,
  audit: async () => (await import('./audit.ts')).auditCommands,
};

/** The group that `args` names, none for `serve`, and all of them where help or a hint needs to know all. */
export async function groupsFor([word = 'serve']: readonly string[]): Promise<CommandGroup[]> {
  if (word === 'serve') return [];
  const named = Object.hasOwn(groups, word) ? groups[word] : undefined;
  return Promise.all((named === undefined ? Object.values(groups) : [named]).map((load) => load()));
}
