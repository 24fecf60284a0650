// Preloaded into a gateway (--import): its monotonic clock leaps by CLOCK_LEAP_MS with each SIGUSR2, as if that time had passed.
const { env } = process;
const now = performance.now.bind(performance);
let leaptMs = 0;
performance.now = () => now() + leaptMs;
process.on('SIGUSR2', () => {
  leaptMs += Number(env.CLOCK_LEAP_MS);
});
