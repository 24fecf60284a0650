import type { ReportableCheck, RouteSettings } from './settings.ts';

/** What a route asks of whoever sends. */
export type Identity = Pick<RouteSettings, 'certificate' | 'authorization' | 'signature' | 'reported'>;

/** The checks of a route that prove who sends, in their order; none: it is open. What is only reported proves nothing. */
export function provingChecks(route: Identity): readonly ReportableCheck[] {
  const checks: ReportableCheck[] = [];
  if (route.certificate !== 'none') checks.push('certificate');
  if (route.authorization.length > 0) checks.push('authorization');
  if (route.signature !== undefined) checks.push('signature');
  return checks.filter((name) => !route.reported.includes(name));
}
