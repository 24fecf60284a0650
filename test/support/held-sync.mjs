// Preloaded into a gateway (--import): from one SIGUSR2 to the next every fdatasync waits, as on a disk that is very
// slow, and says so in a line on standard output.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const { fdatasync } = fs;
const held = [];
let holds = false;
process.on('SIGUSR2', () => {
  holds = !holds;
  if (holds) process.stdout.write('{"msg":"syncs wait from now on"}\n');
  else for (const begin of held.splice(0)) begin();
});
fs.fdatasync = (file, done) => {
  if (!holds) return fdatasync(file, done);
  held.push(() => fdatasync(file, done));
  process.stdout.write('{"msg":"a sync waits"}\n');
};
syncBuiltinESMExports();
