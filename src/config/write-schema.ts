import { writeFileSync } from 'node:fs';
import { schemaText } from './json-schema.ts';

writeFileSync(new URL('../../config/postern.schema.json', import.meta.url), schemaText());
