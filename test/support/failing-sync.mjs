// Preloaded into a gateway (--import): from one SIGUSR2 to the next every fdatasync fails, as on a disk that is dying.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { fdatasync } = fs;
let fails = false;
process.on('SIGUSR2', () => {
  fails = !fails;
});
fs.fdatasync = (file, done) => {
  if (!fails) fdatasync(file, done);
  else setImmediate(done, Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }));
};
syncBuiltinESMExports();
