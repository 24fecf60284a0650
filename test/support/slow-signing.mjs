// Preloaded into a gateway (--import): signing fails for the path /broken?1, and takes long for /slow.
const { sign } = crypto.subtle;
SubtleCrypto.prototype.sign = async function (algorithm, key, data) {
  const { path } = JSON.parse(
    Buffer.from(Buffer.from(data).toString().split('.')[1], 'base64url').toString(),
  );
  if (path === '/broken?1') throw new Error('the key is gone');
  if (path === '/slow') await new Promise((resolve) => setTimeout(resolve, 1000));
  return sign.call(this, algorithm, key, data);
};
