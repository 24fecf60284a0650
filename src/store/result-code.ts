/** SQLite's result codes, https://www.sqlite.org/rescode.html */
export const SQL_ERROR = 1;
export const BUSY = 5;
export const IO_ERROR = 10;
export const CORRUPT = 11;
export const FULL = 13;
export const NOT_A_DATABASE = 26;

/** The result code of an error of SQLite, without what extends it; `undefined`: it is another's. */
export function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: number };
  return errcode === undefined ? undefined : errcode & 0xff;
}
