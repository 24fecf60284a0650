import { z } from 'zod';
import { list, section } from './issues.ts';
import { routeSchema } from './route-schema.ts';
import { word } from './values.ts';

/** What is of one route alone: its name, and the word that opens it to everybody. */
export const OWN_KEYS = ['name', 'unsafe_open'] as const;

const { name: _name, unsafe_open: _open, ...taken } = routeSchema.shape;
const { path, upstream } = taken;
type Taken = typeof taken;

/** The keys that a route takes from `defaults`. */
export const TAKEN_KEYS = Object.keys(taken) as (keyof Taken)[];

/** What every route takes that does not give the key itself. Each key whole: what is in it is not put together. */
export const defaultsSchema = section(
  Object.fromEntries(
    Object.entries(taken).map(([key, schema]) => [key, bare(schema).describe(schema.description ?? '')]),
  ) as { [Key in keyof Taken]: z.ZodOptional },
  'a mapping of keys of a route',
);

/** Without the value that stands where nothing is written: that is the route's to say. */
function bare(schema: z.ZodType): z.ZodOptional {
  return z.optional(schema instanceof z.ZodPrefault ? (schema.unwrap() as z.ZodType) : schema);
}

export const withoutSchema = list(
  word(TAKEN_KEYS, 'a key of defaults'),
  'a list of keys of defaults such as [rate_limit]',
);

/** A route as it is written: what it does not say may stand in `defaults`. */
export const writtenRouteSchema = section(
  {
    ...routeSchema.shape,
    path: path.optional().describe(`${path.description} Here or in defaults.`),
    upstream: upstream.optional().describe(`${upstream.description} Here or in defaults.`),
    without: withoutSchema
      .optional()
      .describe('The keys of defaults that this route does not take, such as [rate_limit].'),
  },
  'a mapping with name, path and upstream',
);
