// Preloaded into a gateway (--import). On SIGUSR2 something outside of any request fails, in every way there is; with
// CRASH_AT_START that happens when it begins to listen. None of the errors says a secret, but they carry some, as those
// of HTTP clients and URL parsers carry what they worked on.
import net from 'node:net';

const { env } = process;
const carrying = (message) =>
  Object.assign(new Error(message, { cause: Object.assign(new Error('a cause'), { url: env.BEARER }) }), {
    code: 'E_CRASH',
    input: `https://user:${env.PASSWORD}@localhost/`,
    headers: { authorization: `Bearer ${env.BEARER}` },
    config: { env },
  });
const fail = (error) => process.nextTick(() => Promise.reject(error));
const ways = {
  error: () => {
    throw carrying('thrown');
  },
  several: () => {
    throw new AggregateError([carrying('one of several')], 'several');
  },
  other: () => {
    throw { token: env.BEARER };
  },
};

process.on('SIGUSR2', () => {
  for (const way of Object.values(ways)) setTimeout(way, 0);
  fail(carrying('rejected'));
  fail({ token: env.BEARER });
});

if (env.CRASH_AT_START !== undefined) {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (...given) {
    process.nextTick(ways[env.CRASH_AT_START]);
    return listen.apply(this, given);
  };
}
