/** A duration as a person says it: `15 s`, `5 m`, `7.5 m`, `2 h`, `100 ms`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${ms === 0 ? 0 : Math.max(1, Math.round(ms))} ms`;
  const [size, unit] = ms < 60_000 ? [1000, 's'] : ms < 3_600_000 ? [60_000, 'm'] : [3_600_000, 'h'];
  return `${Math.round((ms / size) * 10) / 10} ${unit}`;
}
