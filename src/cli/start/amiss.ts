import { reportedNames } from '../../config/modes.ts';
import type { Settings } from '../../settings.ts';
import type { Store } from '../../store-types.ts';

/** What is amiss with a gateway that is ready all the same; `undefined`: nothing. */
export function amissWith(store: Store, { routes }: Settings): string | undefined {
  const problem = store.problem();
  const reporting = routes.flatMap((route) => {
    const names = reportedNames(route);
    return names.length === 0 ? [] : [`${route.name} (${names.join(', ')})`];
  });
  const sentences = [
    ...(problem === undefined ? [] : [`each gateway goes by its own memory: ${problem}`]),
    ...(reporting.length === 0 ? [] : [`only reported, not enforced: ${reporting.join('; ')}`]),
  ];
  return sentences.length === 0 ? undefined : `ok, but ${sentences.join('; and ')}`;
}
