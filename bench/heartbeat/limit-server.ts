// The limit: what the same framework does over the same TLS when it has nothing to do. It checks the client's certificate
// and sends the body back. `node limit-server.ts PORT CERT KEY CA`
import { readFileSync } from 'node:fs';
import Fastify from 'fastify';
import { tlsOptions } from '#api/tls.ts';

const [port, cert = '', key = '', ca = ''] = process.argv.slice(2);
const app = Fastify({
  https: {
    ...tlsOptions({ cert: readFileSync(cert), key: readFileSync(key) }, [readFileSync(ca, 'utf8')]),
    rejectUnauthorized: true,
  },
  keepAliveTimeout: 75_000,
});
app.post('/api/heartbeat', async (request) => request.body);
await app.listen({ port: Number(port), host: '127.0.0.1' });
