#!/usr/bin/env node
// Starts the agent from a checkout. What Node has made of its files is kept, without which it would be half as large again.
import { enableCompileCache, flushCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/sentinel-agent', import.meta.url)));
await import('./main.ts');
flushCompileCache();
