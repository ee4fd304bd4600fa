-- Documents of all tenants. Keys are bytes that sort as the keys do (relational/keys.py), bodies JSON (relational/codec.py).
CREATE TABLE IF NOT EXISTS documents_tables (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  keys text NOT NULL,
  indexes text NOT NULL,
  PRIMARY KEY (tenant, name)
);

CREATE TABLE IF NOT EXISTS documents_items (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  pk bytea NOT NULL,
  sk bytea NOT NULL,
  odd boolean NOT NULL,
  body jsonb NOT NULL,
  PRIMARY KEY (tenant, name, pk, sk),
  FOREIGN KEY (tenant, name) REFERENCES documents_tables ON DELETE CASCADE
);

-- Places of items in their tables' indexes
CREATE TABLE IF NOT EXISTS documents_entries (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  index_name text COLLATE "C" NOT NULL,
  pk bytea NOT NULL,
  sk bytea NOT NULL,
  item_pk bytea NOT NULL,
  item_sk bytea NOT NULL,
  PRIMARY KEY (tenant, name, index_name, pk, sk, item_pk, item_sk),
  FOREIGN KEY (tenant, name) REFERENCES documents_tables ON DELETE CASCADE
);

-- Transactions of the last minutes, so that one that is sent again is done once
CREATE TABLE IF NOT EXISTS documents_tokens (
  tenant text COLLATE "C" NOT NULL,
  token text COLLATE "C" NOT NULL,
  fingerprint text NOT NULL,
  done_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, token)
);
