-- Documents of all tenants. Keys are bytes that sort as the keys do (relational/keys.py), bodies JSON (relational/codec.py).
CREATE TABLE documents_tables (
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  keys TEXT NOT NULL,
  indexes TEXT NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE documents_items (
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  pk BLOB NOT NULL,
  sk BLOB NOT NULL,
  odd INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tenant, name, pk, sk),
  FOREIGN KEY (tenant, name) REFERENCES documents_tables ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Places of items in their tables' indexes
CREATE TABLE documents_entries (
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  index_name TEXT NOT NULL,
  pk BLOB NOT NULL,
  sk BLOB NOT NULL,
  item_pk BLOB NOT NULL,
  item_sk BLOB NOT NULL,
  PRIMARY KEY (tenant, name, index_name, pk, sk, item_pk, item_sk),
  FOREIGN KEY (tenant, name) REFERENCES documents_tables ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Transactions of the last minutes, so that one that is sent again is done once
CREATE TABLE documents_tokens (
  tenant TEXT NOT NULL,
  token TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  done_at REAL NOT NULL,
  PRIMARY KEY (tenant, token)
) STRICT, WITHOUT ROWID;

CREATE INDEX documents_tokens_done_at ON documents_tokens (done_at);
