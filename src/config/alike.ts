/** So many routes may be warned of in a line each. */
const MOST_LINES = 5;

/** Says once, with the names of the routes, what is to be said of many of them: they have it from `defaults`. */
export function toldTogether(warnings: readonly string[]): readonly string[] {
  const alike = Map.groupBy(warnings, (warning) => sentenceOf(warning) ?? warning);
  return [...alike].flatMap(([sentence, group]) => {
    if (group.length <= MOST_LINES || sentenceOf(group[0] as string) === undefined) return group;
    const names = group.map((warning) => OF_ROUTE.exec(warning)?.[1]);
    return [`${group.length} routes: ${sentence} (${names.join(', ')})`];
  });
}

const OF_ROUTE = /^routes\[\d+\] ([\w.-]+): (.*)$/s;

function sentenceOf(warning: string): string | undefined {
  return OF_ROUTE.exec(warning)?.[2];
}
