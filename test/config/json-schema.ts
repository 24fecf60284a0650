/** The part of JSON Schema that the configuration's schema is written in. */
interface Schema {
  type?: string;
  const?: unknown;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
}

/** What an editor would mark in `value`: the paths that do not follow `schema`. */
export function violations(schema: Schema, value: unknown, path = ''): string[] {
  if (schema.anyOf !== undefined) {
    const tries = schema.anyOf.map((option) => violations(option, value, path));
    return tries.some((found) => found.length === 0) ? [] : [`${path}: none of the forms`, ...tries.flat()];
  }
  if ('const' in schema) return value === schema.const ? [] : [`${path}: not ${schema.const}`];
  if (schema.type === 'string')
    return typeof value === 'string' && fits(schema, value) ? [] : [`${path}: text`];
  if (schema.type === 'integer')
    return Number.isInteger(value) && inRange(schema, Number(value)) ? [] : [`${path}: number`];
  if (schema.type === 'boolean') return typeof value === 'boolean' ? [] : [`${path}: boolean`];
  if (schema.type === 'array') {
    if (!Array.isArray(value) || value.length < (schema.minItems ?? 0)) return [`${path}: list`];
    return value.flatMap((item, index) => violations(schema.items ?? {}, item, `${path}[${index}]`));
  }
  if (schema.type !== 'object') throw new Error(`${path}: the schema holds what this test cannot read`);
  if (typeof value !== 'object' || value === null) return [`${path}: mapping`];
  const missing = (schema.required ?? [])
    .filter((key) => !(key in value))
    .map((key) => `${path}.${key}: missing`);
  const inner = Object.entries(value).flatMap(([key, child]) => {
    const next = schema.properties?.[key] ?? schema.additionalProperties;
    return typeof next === 'object' ? violations(next, child, `${path}.${key}`) : [`${path}.${key}: unknown`];
  });
  return [...missing, ...inner];
}

function fits(schema: Schema, value: string): boolean {
  return schema.pattern === undefined || new RegExp(schema.pattern, 'u').test(value);
}

function inRange(schema: Schema, value: number): boolean {
  return value >= (schema.minimum ?? value) && value <= (schema.maximum ?? value);
}
