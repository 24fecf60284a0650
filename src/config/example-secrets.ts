/** The values of the .env.example that is published with Postern: everybody knows them, so they prove nothing. */
export const EXAMPLE_SECRETS: ReadonlySet<string> = new Set([
  'whsec_cG9zdGVybi1leGFtcGxlLXNlY3JldC1yZXBsYWNlLW1l',
  'example-bearer-token-replace-me',
  'example-alerts-password-replace-me',
]);
