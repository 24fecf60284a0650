const CONNECTION_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection closed by the other end',
  EPIPE: 'connection closed by the other end',
  ENOTFOUND: 'host name not found',
  EAI_AGAIN: 'host name could not be looked up',
  EHOSTUNREACH: 'host cannot be reached',
  ENETUNREACH: 'network cannot be reached',
  CERT_HAS_EXPIRED: "the server's certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "the server's certificate is for another name",
};

const UNTRUSTED: readonly string[] = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
];

/** Why there was no answer, as a person says it. */
export function failureInWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = codeOf(error);
  const alert = alertOf(error);
  if (alert !== undefined) return `TLS alert: ${alert}`;
  if (UNTRUSTED.includes(code)) return "the server's certificate is not trusted; give its CA with --ca";
  return CONNECTION_WORDS[code] ?? (error.message || code);
}

/** The TLS alert (RFC 8446, section 6.2) with which the other end ended the connection, in words. */
export function alertOf(error: unknown): string | undefined {
  // OpenSSL: ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED, ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE, …
  const alert = /_ALERT_(?:NUMBER_)?(\w+)$/.exec(codeOf(error))?.[1];
  return alert?.toLowerCase().replaceAll('_', ' ');
}

/** The code of an error of Node's or OpenSSL's; empty where it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
