/** In the largest unit that leaves no fraction: `90s`, `2h`. */
export function durationText(ms: number): string {
  if (ms === 0 || ms % 1000 !== 0) return ms === 0 ? '0s' : `${ms}ms`;
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  return ms % 60_000 === 0 ? `${ms / 60_000}m` : `${ms / 1000}s`;
}
