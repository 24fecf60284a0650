// Preloaded into a gateway (--import): its syncs say that they are done, and ask the disk for nothing.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

fs.fdatasync = (_file, done) => setImmediate(done, null);
fs.fdatasyncSync = () => undefined;
syncBuiltinESMExports();
