import type { SenderProfile } from '../../sender-profile.ts';

/** Where the documents are to be found by whose names the sources of cases begin. */
export const DOCUMENTS: Readonly<Record<string, string>> = {
  'Standard Webhooks':
    'https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md',
  'Svix, webhook_http_client.rs':
    'https://github.com/svix/svix-webhooks/blob/main/server/svix-server/src/core/webhook_http_client.rs',
  'Svix, core/types/mod.rs':
    'https://github.com/svix/svix-webhooks/blob/main/server/svix-server/src/core/types/mod.rs',
  RFC: 'https://www.rfc-editor.org/rfc/',
};

/** How the sender's own documentation is called as a source. */
export function documentationOf({ title }: SenderProfile): string {
  return `the documentation of ${title}`;
}

/** The lines that say where to find what these sources name. */
export function whereToFind(sources: readonly string[], profile: SenderProfile): string[] {
  const documents = { ...DOCUMENTS, [documentationOf(profile)]: profile.documentation };
  return Object.entries(documents)
    .filter(([name]) => sources.some((source) => source.startsWith(name)))
    .map(([name, address]) => `${name}: ${address}`);
}
