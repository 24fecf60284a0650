/** What the section `tls` says, its files loaded. */
export interface TlsSettings extends TlsHost {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** What becomes of clients whose authority's revocation list is past its next update. */
  readonly clientCrlExpired: 'refuse' | 'warn';
  /** Chosen by SNI; the section itself is the default. */
  readonly hosts: readonly TlsHost[];
}

/** The certificate shown under some names, and whose client certificates are believed there. */
export interface TlsHost {
  /** In lower case; empty for the default. */
  readonly names: readonly string[];
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
  /** PEM texts of the certificate authorities, one certificate each; never empty. */
  readonly clientCa: readonly string[];
  /** Empty: nothing is ever revoked. */
  readonly clientCrl: readonly RevocationList[];
  readonly clientCertificate: 'required' | 'optional';
}

/** A certificate revocation list (RFC 5280 section 5), read. */
export interface RevocationList {
  /** Absolute path. */
  readonly file: string;
  readonly pem: string;
  /** The issuer's name, one line, for people. */
  readonly issuer: string;
  /** The issuer's name in DER, hexadecimal. */
  readonly issuerId: string;
  readonly thisUpdateMs: number;
  /** `undefined`: it never ends. */
  readonly nextUpdateMs: number | undefined;
  /** Serial numbers in lower-case hexadecimal without leading zeros. */
  readonly serials: ReadonlySet<string>;
  readonly signed: Buffer;
  readonly signature: Buffer;
  /** For `crypto.verify`; `undefined`: an algorithm that is not known here. `none`: it names its own (Ed25519). */
  readonly digest: 'sha256' | 'sha384' | 'sha512' | 'none' | undefined;
  /** Holds an extension without which it must not be read (RFC 5280 section 5.2). */
  readonly hasCriticalExtension: boolean;
}

/** How the gateway as a client and a server behind it know each other. */
export interface ClientTls {
  /** `undefined`: Node's own authorities. */
  readonly ca: Buffer | undefined;
  readonly certificate: Buffer | undefined;
  readonly privateKey: Buffer | undefined;
}
