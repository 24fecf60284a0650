// Preloaded into a gateway (--import): its wall clock is off by CLOCK_OFF_MS, and by CLOCK_JUMP_MS more with each SIGUSR2.
// The monotonic clock is left alone, as it is when somebody sets the time.
const { env } = process;
const { now } = Date;
let offMs = Number(env.CLOCK_OFF_MS ?? 0);
Date.now = () => now() + offMs;
process.on('SIGUSR2', () => {
  offMs += Number(env.CLOCK_JUMP_MS);
});
