// Preloaded into a gateway (--import): from one SIGUSR2 to the next every fdatasync fails, as on a disk that is dying,
// after SYNC_FAILS_AFTER_MS.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { fdatasync } = fs;
const afterMs = Number(process.env.SYNC_FAILS_AFTER_MS ?? 0);
let fails = false;
process.on('SIGUSR2', () => {
  fails = !fails;
});
fs.fdatasync = (file, done) => {
  if (!fails) fdatasync(file, done);
  else setTimeout(done, afterMs, Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }));
};
syncBuiltinESMExports();
