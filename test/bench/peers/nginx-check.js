// What nginx itself cannot check: method, bearer, timestamp and signature. Runs in njs.
// biome-ignore lint/style/useNodejsImportProtocol: njs knows no node: prefix
import crypto from 'crypto';

const KEY = Buffer.from(process.env.SECRET, 'base64');
const AUTHORIZATION = `Bearer ${process.env.BEARER}`;
const TOLERANCE_SECONDS = 300;

/** njs has no comparison in constant time of its own. */
function isSame(one, other) {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let at = 0; at < one.length; at += 1) difference |= one.charCodeAt(at) ^ other.charCodeAt(at);
  return difference === 0;
}

function isSigned(r) {
  const id = r.headersIn['webhook-id'];
  const seconds = r.headersIn['webhook-timestamp'];
  const sent = r.headersIn['webhook-signature'];
  if (id === undefined || seconds === undefined || sent === undefined) return false;
  if (!(Math.abs(Date.now() / 1000 - Number(seconds)) <= TOLERANCE_SECONDS)) return false;
  const made = crypto
    .createHmac('sha256', KEY)
    .update(`${id}.${seconds}.`)
    .update(r.requestBuffer)
    .digest('base64');
  return isSame(sent, `v1,${made}`);
}

function request(r) {
  if (r.method !== 'POST' && r.method !== 'PUT') r.return(405);
  else if (!isSame(r.headersIn.authorization || '', AUTHORIZATION) || !isSigned(r)) r.return(401);
  else r.internalRedirect('@sink');
}

// biome-ignore lint/style/noDefaultExport: njs takes a module's functions from its default export
export default { request };
