import { clientChooser, settingsOf } from '../../clients.ts';
import type { RouteSettings } from '../../settings.ts';
import type { Message } from '../../types.ts';
import type { Step } from './steps.ts';

/** By which settings of a route a request is judged: those of the client that it names, or the route's own. */
export function clientStep(
  route: RouteSettings,
  { headers }: Message,
): { readonly steps: readonly Step[]; readonly route: RouteSettings } {
  if (route.clients === undefined) return { steps: [], route };
  const chosen = clientChooser(route, settingsOf(route))(headers);
  const { header } = route.clients;
  const detail =
    chosen.client === undefined
      ? `no known one in ${header}, so what the route itself says applies`
      : `${chosen.client.id}, as ${header} says; that has still to be proved`;
  return { steps: [{ check: 'named client', answer: 'passed', detail }], route: chosen };
}
