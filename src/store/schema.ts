/** The version of the state file that this program writes. */
export const VERSION = 3;

const QUARANTINE_INDEXES = `
  CREATE INDEX quarantined ON events (route, print) WHERE state = 'quarantined';
  CREATE INDEX expiring ON events (due) WHERE state = 'quarantined';`;

/** What makes a file of version 2 one of this; processes of that version that run on it need not end. */
export const FROM_VERSION_2 = `
  ALTER TABLE events ADD COLUMN print TEXT;
  ALTER TABLE events ADD COLUMN forced TEXT;
  ALTER TABLE tallies ADD COLUMN quarantined INTEGER NOT NULL DEFAULT 0;
  ${QUARANTINE_INDEXES}
`;

/**
 * Rows of `claims`, `events`, `payloads` and `attempts` are appended, and what changes afterwards is small: a table
 * sorted by key would write a page for each event, and a body beside its state would be written again with each change
 * of that. So nothing is found by its id but by walking the table, which only the operator's commands do.
 *
 * The state of an event: `waiting`, `held` behind another of its key, `sealed` with a key that is not configured,
 * `delivering`, `delivered`, `dead`, `quarantined`. The first four have not finished; the last is none of the queue's
 * business, and its `finished` of 0 keeps it out of all that the queue searches.
 */
export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS claims (id INTEGER PRIMARY KEY, key TEXT NOT NULL, until INTEGER NOT NULL) STRICT;
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    route TEXT NOT NULL,
    client TEXT NOT NULL,
    message_id TEXT,
    event_type TEXT,
    state TEXT NOT NULL,
    due INTEGER NOT NULL, -- of what has finished: when it did, by the same clock; of a quarantined one: when it is removed
    attempts INTEGER NOT NULL,
    base INTEGER NOT NULL, -- attempts before an operator put it back
    lease INTEGER NOT NULL, -- how often it was leased: with seq and id the token
    owner INTEGER,
    until INTEGER,
    received INTEGER NOT NULL,
    finished INTEGER, -- of a quarantined one 0
    finish_no INTEGER, -- its place in the order of finishing
    order_key TEXT,
    address TEXT NOT NULL,
    subject TEXT,
    fingerprint TEXT,
    secret INTEGER,
    bytes INTEGER NOT NULL, -- of the body
    size INTEGER NOT NULL, -- of the payload as it is stored
    sha256 TEXT, -- NULL: sealed with the payload
    key TEXT, -- NULL: the payload is not encrypted
    status INTEGER,
    reason TEXT,
    print TEXT, -- of a quarantined one: by which its copies are known
    forced TEXT -- as JSON: who released it though its signature does not hold
  ) STRICT;
  CREATE INDEX waiting ON events (route, due) WHERE state = 'waiting';
  CREATE INDEX delivering ON events (route, until) WHERE state = 'delivering';
  CREATE INDEX unfinished ON events (route) WHERE finished IS NULL;
  CREATE INDEX ordered ON events (route, order_key, state) WHERE finished IS NULL AND order_key IS NOT NULL;
  CREATE INDEX sealed ON events (key) WHERE state = 'sealed';
  CREATE INDEX finished ON events (state, finish_no) WHERE finished IS NOT NULL;
  ${QUARANTINE_INDEXES}
  CREATE TABLE payloads (seq INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL) STRICT;
  CREATE TABLE attempts (
    event INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started INTEGER NOT NULL,
    duration REAL NOT NULL,
    target TEXT,
    status INTEGER,
    reason TEXT,
    key TEXT,
    detail BLOB,
    answer BLOB NOT NULL,
    PRIMARY KEY (event, number)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE tallies (
    route TEXT PRIMARY KEY,
    unfinished INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    quarantined INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    undelivered INTEGER NOT NULL -- events encrypted with it that are not delivered
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE paces (route TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO numbers VALUES ('finished', 0), ('delivered bytes', 0), ('skew', 0);
`;
