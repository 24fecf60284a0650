/** Header fields as one flat list: name, value, name, value …; names in lower case. */
export type Fields = readonly string[];

/** The first value of a field; `undefined`: the field is absent. */
export function fieldValue(fields: Fields, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) return fields[i + 1];
  }
  return undefined;
}

/** How often a field occurs. */
export function fieldCount(fields: Fields, name: string): number {
  let count = 0;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) count += 1;
  }
  return count;
}

/** The value of a field that occurs once; `undefined`: it says nothing, or two things. */
export function onlyValue(fields: Fields, name: string): string | undefined {
  return fieldCount(fields, name) === 1 ? fieldValue(fields, name) : undefined;
}

/** Fields by name, repeated ones as lists, as one flat array. */
export function flatFields(headers: Record<string, unknown>): Fields {
  const fields: string[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (typeof value === 'string') fields.push(name, value);
    else if (Array.isArray(value)) for (const one of value) fields.push(name, String(one));
  }
  return fields;
}
