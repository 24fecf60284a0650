import { z } from 'zod';
import { configurationSchema } from './schema.ts';

/** What the table, the editors and `check --show` need to know of one key. */
export interface JsonSchema {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string;
  readonly const?: unknown;
  readonly pattern?: string;
  readonly format?: string;
  /** A secret, never to be shown. */
  readonly writeOnly?: boolean;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly anyOf?: readonly JsonSchema[];
}

/** The JSON Schema (draft 2020-12) of the configuration, as it is written: durations and sizes as text. */
export function configurationJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(configurationSchema, { io: 'input' });
  return { title: 'Postern configuration', ...schema } as JsonSchema;
}

/** The text of config/postern.schema.json. */
export function schemaText(): string {
  return `${JSON.stringify(configurationJsonSchema(), undefined, 2)}\n`;
}
