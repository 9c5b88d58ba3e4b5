// Preload for the conformance CLI on Node 20: the CLI imports `globSync` from `fs`, which exists from Node 22 on,
// for a subcommand we never run, and would die at link time. Must not change the package or any other module's `fs`.
import * as fs from 'node:fs';
import { register } from 'node:module';

if (!('globSync' in fs)) register('./node20-hooks.mjs', import.meta.url);
