import { configurationJsonSchema, type JsonSchema } from './json-schema.ts';

/** The README's table of every key: its place, what it means, what it is when it is left out. */
export function configurationTable(): string {
  const rows = rowsOf(configurationJsonSchema(), '');
  return ['| key | meaning | default |', '| --- | --- | --- |', ...rows, ''].join('\n');
}

function rowsOf(schema: JsonSchema, path: string): string[] {
  const rows: string[] = [];
  for (const [key, child] of Object.entries(schema.properties ?? {})) {
    const place = path === '' ? key : `${path}.${key}`;
    const required = schema.required?.includes(key) === true;
    rows.push(`| \`${place}\` | ${cell(child.description ?? '')} | ${defaultOf(child, required)} |`);
    // What a route has is below routes; what a list in a mapping holds is told of the plain list beside that.
    if (place !== 'defaults' && key !== 'list') rows.push(...below(child, place));
  }
  return rows;
}

/** The keys inside a key, whichever of its forms has them. */
function below(schema: JsonSchema, place: string): string[] {
  if (schema.properties !== undefined) return rowsOf(schema, place);
  // A list beside the single form of the same thing would only repeat its keys.
  const forms = schema.anyOf?.filter((form) => form.properties !== undefined) ?? [];
  const plain = forms.some(({ properties }) => properties?.list !== undefined)
    ? (schema.anyOf?.filter(({ items }) => items !== undefined) ?? [])
    : [];
  if (forms.length > 0)
    return [...plain.flatMap((form) => below(form, place)), ...forms.flatMap((form) => rowsOf(form, place))];
  if (schema.items !== undefined) return below(schema.items, `${place}[]`);
  const { additionalProperties: entries } = schema;
  return typeof entries === 'object' ? below(entries, `${place}.NAME`) : [];
}

function defaultOf(schema: JsonSchema, required: boolean): string {
  if (required) return 'required';
  const { default: value, properties } = schema;
  // A mapping's defaults stand at its keys, and an empty list is none.
  const text = value === undefined || properties !== undefined ? '' : String(value);
  return text === '' ? '' : `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
