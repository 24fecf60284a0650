// What a Node user would build for the job: fastify, @fastify/rate-limit, svix and @fastify/reply-from (undici).
// Kinder than most builds are: one log line a request in blocks, the certificate read once a connection.
// Environment: PORT, UPSTREAM (ports), CERTS (folder), SECRET (base64), BEARER.
import { randomUUID, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { BlockList } from 'node:net';
import rateLimit from '@fastify/rate-limit';
import replyFrom from '@fastify/reply-from';
import Fastify from 'fastify';
import pino from 'pino';
import { Webhook } from 'svix';

const { PORT, UPSTREAM, CERTS, SECRET, BEARER } = process.env;
const read = (name) => readFileSync(`${CERTS}/${name}`);
const webhook = new Webhook(`whsec_${SECRET}`);
const authorization = Buffer.from(`Bearer ${BEARER}`);
const allowed = new BlockList();
allowed.addSubnet('127.0.0.0', 8);
allowed.addAddress('4.159.114.108');
allowed.addAddress('20.117.190.191');

const app = Fastify({
  loggerInstance: pino(pino.destination({ dest: 1, sync: false, minLength: 8_192, periodicFlush: 100 })),
  disableRequestLogging: true,
  bodyLimit: 2 ** 20,
  keepAliveTimeout: 600_000,
  genReqId: () => randomUUID(),
  https: {
    key: read('server.key'),
    cert: read('server.pem'),
    ca: read('ca.pem'),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  },
});

const subjects = new WeakMap();
app.server.on('secureConnection', (socket) => {
  subjects.set(socket, socket.getPeerCertificate().subject?.CN ?? '');
});

function isAuthorized(field = '') {
  const sent = Buffer.from(field);
  return sent.length === authorization.length && timingSafeEqual(sent, authorization);
}

function rewriteRequestHeaders(request, headers) {
  const { authorization: _consumed, forwarded: _forwarded, ...rest } = headers;
  rest['x-forwarded-for'] = request.ip;
  rest['x-forwarded-proto'] = 'https';
  rest['x-forwarded-host'] = request.host;
  rest['x-request-id'] = request.id;
  rest['x-client-cn'] = subjects.get(request.raw.socket) ?? '';
  return rest;
}

await app.register(rateLimit, { max: 1_000_000_000, timeWindow: '1 minute' });
await app.register(replyFrom, {
  base: `http://127.0.0.1:${UPSTREAM}`,
  undici: { connections: 64, pipelining: 1 },
  disableRequestLogging: true,
});
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.addHook('onRequest', async (request, reply) => {
  if (!allowed.check(request.ip)) return reply.code(403).send();
  if (!isAuthorized(request.headers.authorization)) return reply.code(401).send();
});
app.addHook('onResponse', async (request, reply) => {
  request.log.info(
    {
      peer: request.ip,
      subject: subjects.get(request.raw.socket),
      method: request.method,
      path: request.url,
      status: reply.statusCode,
      message_id: request.headers['webhook-id'],
      ms: reply.elapsedTime,
    },
    'request',
  );
});
app.route({
  method: ['POST', 'PUT'],
  url: '/codat/events',
  handler: (request, reply) => {
    try {
      webhook.verify(request.body, request.headers);
    } catch {
      return reply.code(401).send();
    }
    return reply.from('/codat/events', {
      body: request.body,
      contentType: request.headers['content-type'] ?? 'application/json',
      rewriteRequestHeaders,
    });
  },
});
await app.listen({ host: '127.0.0.1', port: Number(PORT), backlog: 4096 });
